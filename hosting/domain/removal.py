"""When a machine may leave the marketplace for good."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Kept:
    """What clients have on a machine; ``ends`` are their contracts' ends, the earliest first."""

    instances: int = 0
    volumes: int = 0
    ends: tuple[datetime, ...] = ()


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


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'s' if number > 1 else ''}" if number else ""
