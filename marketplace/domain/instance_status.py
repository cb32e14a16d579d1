"""The state of an instance in the words of the public API, which speaks of container, contract and wish apart."""

from dataclasses import dataclass

from marketplace.domain import instance_states as states


@dataclass(frozen=True)
class Status:
    """``actual`` is the container's (None: nothing there yet), ``intended`` what the client asked for last.

    ``current`` and ``next`` are the contract's: whether it holds its GPUs, and whether it is about to.
    """

    actual: str | None
    intended: str
    current: str
    next: str


_STATUSES = {
    states.SCHEDULING: Status("stopped", "running", "stopped", "running"),
    states.LOADING: Status("loading", "running", "running", "running"),
    states.RUNNING: Status("running", "running", "running", "running"),
    states.OUTBID: Status("stopped", "stopped", "stopped", "stopped"),
    states.STOPPING: Status("running", "stopped", "running", "stopped"),
    states.STOPPED: Status("stopped", "stopped", "stopped", "stopped"),
    states.EXITED: Status("exited", "running", "stopped", "stopped"),
    states.ERROR: Status("exited", "running", "stopped", "stopped"),
    states.DESTROYING: Status("stopped", "stopped", "unloaded", "unloaded"),
    states.DESTROYED: Status("stopped", "stopped", "unloaded", "unloaded"),
}
"""Clients of the dialect recognise a bid that lost by three times "stopped".

A container that ended by itself or failed was meant to run; only a stopped one was meant to stop."""

_LOADING = {"unknown": None, "pulling": "loading", "creating": "created", "starting": "created"}
_NEEDS_THE_MACHINE = states.CAN_STOP | {states.STOPPING}


def status_of(state: str, *, phase: str, machine_online: bool) -> Status:
    """The status of an instance in ``state`` whose task was last seen in ``phase`` of its present run."""
    status = _STATUSES[state]
    if not machine_online and state in _NEEDS_THE_MACHINE:
        return Status("offline", status.intended, status.current, status.next)
    if state == states.LOADING:
        return Status(_LOADING.get(phase, "loading"), status.intended, status.current, status.next)
    return status
