"""Moves of an instance to another machine: their life as a table, and what is to be done next."""

from dataclasses import dataclass
from enum import Enum

from hosting.domain import jobs
from marketplace.domain import instance_states as instances

ASKED = "asked"  # the target is rented; the source is still as it was
STOPPING = "stopping"  # the source is to stop
PACKING = "packing"  # the source's machine makes its disk a parcel
SENDING = "sending"  # the target's machine fetches that
STARTING = "starting"  # the target has the disk and is to run
DONE = "done"
FAILED = "failed"
CANCELED = "canceled"

STATES = (ASKED, STOPPING, PACKING, SENDING, STARTING, DONE, FAILED, CANCELED)
OPEN = (ASKED, STOPPING, PACKING, SENDING, STARTING)

TRANSITIONS: dict[str, frozenset[str]] = {
    ASKED: frozenset({STOPPING, FAILED, CANCELED}),
    STOPPING: frozenset({PACKING, FAILED, CANCELED}),
    PACKING: frozenset({SENDING, FAILED, CANCELED}),
    SENDING: frozenset({STARTING, FAILED, CANCELED}),
    STARTING: frozenset({DONE, FAILED, CANCELED}),
    DONE: frozenset(),
    FAILED: frozenset(),
    CANCELED: frozenset(),
}

CAN_MOVE_STOPPED = frozenset({instances.STOPPED, instances.EXITED, instances.ERROR})
CAN_MOVE_WAITING = frozenset({instances.OUTBID, instances.SCHEDULING, instances.STOPPING})
CAN_MOVE_RUNNING = frozenset({instances.RUNNING, instances.LOADING})
_GONE = frozenset({instances.DESTROYING, instances.DESTROYED})
_RESTS = frozenset({instances.STOPPED, instances.EXITED, instances.ERROR})


class Do(Enum):
    """One thing to do about a move."""

    NOTHING = "nothing"
    STOP_SOURCE = "stop_source"
    PACK = "pack"
    SEND = "send"
    START_TARGET = "start_target"
    FINISH = "finish"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What decides. A job's state is empty where there is no such job."""

    state: str
    source_state: str
    target_state: str
    target_has_run: bool
    sending_state: str = ""
    sending_message: str = ""
    is_packed: bool = False
    receiving_state: str = ""
    receiving_message: str = ""


@dataclass(frozen=True)
class Next:
    """The step, and with ``FAIL`` why."""

    do: Do
    reason: str = ""
    message: str = ""


def next_step(facts: Facts) -> Next:
    """What to do about an open move; asking twice does no harm."""
    if facts.state == STARTING:
        return _after_arrival(facts)
    if facts.target_state in _GONE:
        return Next(Do.FAIL, "target_gone", "The target was destroyed.")
    if facts.source_state in _GONE:
        return Next(Do.FAIL, "source_gone", "The source was destroyed before its disk had arrived.")
    match facts.state:
        case "asked":
            return Next(Do.STOP_SOURCE)
        case "stopping":
            return Next(Do.PACK if facts.source_state in _RESTS else Do.NOTHING)
        case "packing":
            return _while_packing(facts)
        case _:
            return _while_sending(facts)


def _while_packing(facts: Facts) -> Next:
    if facts.sending_state not in jobs.OPEN:
        return Next(Do.FAIL, "not_packed", facts.sending_message or "The source's machine did not pack the disk.")
    return Next(Do.SEND if facts.is_packed else Do.NOTHING)


def _while_sending(facts: Facts) -> Next:
    if facts.receiving_state == jobs.DONE:
        return Next(Do.START_TARGET)
    if facts.receiving_state not in jobs.OPEN:
        return Next(Do.FAIL, "not_received", facts.receiving_message or "The target's machine did not get the disk.")
    if facts.sending_state not in jobs.OPEN:
        return Next(Do.FAIL, "not_sent", facts.sending_message or "The source's machine stopped sending the disk.")
    return Next(Do.NOTHING)


def _after_arrival(facts: Facts) -> Next:
    """The target has all that there is: also a source that vanishes now is no loss."""
    if facts.target_has_run:
        return Next(Do.FINISH)
    if facts.target_state in _GONE:
        return Next(Do.FAIL, "target_gone", "The target was destroyed before it ran.")
    if facts.target_state in (instances.ERROR, instances.EXITED) and facts.source_state not in _GONE:
        return Next(Do.FAIL, "not_started", "The target could not be started with the disk.")
    return Next(Do.NOTHING)


def may_become(old: str, new: str) -> bool:
    """Whether the table allows ``old`` to become ``new``."""
    return new in TRANSITIONS[old]
