"""When a machine may leave the marketplace for good."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Kept:
    """What clients have on a machine; ``ends`` are their contracts' ends, the earliest first."""

    instances: int = 0
    volumes: int = 0
    ends: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class Held:
    """What of its past is not settled. A machine that was found out stays on its host's pages until staff say so."""

    suspended: bool = False
    case_undecided: bool = False
    found_out: bool = False
    """A case was upheld, and staff have not cleared the machine since."""


def removal_problem(kept: Kept, now: datetime) -> str:
    """Why the machine can't be removed, as a sentence; "" when nothing is in the way."""
    parts = [_counted(kept.instances, "instance"), _counted(kept.volumes, "volume")]
    what = " and ".join(part for part in parts if part)
    if not what:
        return ""
    later = [end for end in kept.ends if end > now]
    until = f" The last contract ends at {max(later):%Y-%m-%d %H:%M} UTC." if later else ""
    advice = "Unlist it, so that nothing new comes, and remove it when they are gone."
    return f"Clients have {what} on this machine.{until} {advice}"


def held_problem(held: Held) -> str:
    """Why the marketplace keeps the machine where it is, as a sentence; "" when it does not."""
    if held.suspended:
        return "The marketplace has suspended this machine. It can be removed when the suspension is lifted."
    if held.case_undecided:
        return "The machine failed its verification. It can be removed when that is decided."
    if held.found_out:
        return "The machine was found not to be what it claims. Write to us if it should be removed all the same."
    return ""


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'s' if number > 1 else ''}" if number else ""
