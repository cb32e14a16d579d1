"""What to tell the ssh that runs, from what it was told and what is wanted."""

from collections.abc import Collection
from dataclasses import dataclass

from agent.protocol import RelayForward


@dataclass(frozen=True)
class Changes:
    """First ``cancel``, then ``add``."""

    cancel: list[RelayForward]
    add: list[RelayForward]


def changes(
    *, told: Collection[RelayForward], up: Collection[RelayForward], wanted: Collection[RelayForward]
) -> Changes:
    """``told`` is all that this ssh was ever asked for and not asked to cancel, ``up`` what it is known to have.

    What is told but not known to be up is asked for again: the agent may have died before it heard the answer, and
    asking twice does no harm. What else uses nothing of that is left alone, so nobody's session is disturbed.
    """
    order = sorted(wanted, key=lambda one: one.relay_port)
    return Changes(
        cancel=sorted(set(told) - set(wanted), key=lambda one: one.relay_port),
        add=[one for one in order if one not in up],
    )
