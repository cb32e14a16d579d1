"""What to tell the ssh that runs, from what it was told and what is wanted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.protocol import RelayForward


@dataclass(frozen=True)
class Changes:
    """First ``cancel``, then ``add``."""

    cancel: list[RelayForward]
    add: list[RelayForward]


def changes(
    *,
    told: Collection[RelayForward],
    up: Collection[RelayForward],
    wanted: Collection[RelayForward],
    early: Collection[int] = (),
) -> Changes:
    """``told`` is all that this ssh was ever asked for and not asked to cancel, ``up`` what it is known to have;
    ``early`` are ports of this machine behind which nothing can answer yet, so that nothing new is to lead there.

    What is told but not known to be up is asked for again: the agent may have died before it heard the answer, and
    asking twice does no harm. What else uses nothing of that is left alone, so nobody's session is disturbed.
    """
    order = sorted(wanted, key=lambda one: one.relay_port)
    return Changes(
        cancel=sorted(set(told) - set(wanted), key=lambda one: one.relay_port),
        add=[one for one in order if one not in up and one.host_port not in early],
    )


def early_ports(ports: Mapping[int, Collection[int]], started: Collection[int]) -> set[int]:
    """Those of ``ports`` (by task) whose containers are not ``started``.

    The engine takes connections a little before the container has a network; those then hang for a second, until the
    kernel tries again. Refused at once, a client is in sooner.
    """
    return {port for task_id in ports if task_id not in started for port in ports[task_id]}
