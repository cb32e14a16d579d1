"""What happens around the end of an instance's lifetime, and when. Pure.

The instance is stopped at the end, its disk is kept a while longer and then deleted; the client is warned before
either. ``Instance.lifetime_stage`` is the last stage that was carried out, so each is carried out once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from marketplace.domain import notices

DISK_KEPT = timedelta(hours=48)
"""How long a disk outlives the lifetime."""

_DAY, _HOUR = timedelta(hours=24), timedelta(hours=1)


class Stage(IntEnum):
    """In the order they are passed."""

    FRESH = 0
    ENDS_IN_A_DAY = 1
    ENDS_IN_AN_HOUR = 2
    ENDED = 3
    DISK_GOES_IN_A_DAY = 4
    DISK_GOES_IN_AN_HOUR = 5
    DISK_DELETED = 6


AFTER_END: dict[Stage, timedelta] = {
    Stage.ENDS_IN_A_DAY: -_DAY,
    Stage.ENDS_IN_AN_HOUR: -_HOUR,
    Stage.ENDED: timedelta(0),
    Stage.DISK_GOES_IN_A_DAY: DISK_KEPT - _DAY,
    Stage.DISK_GOES_IN_AN_HOUR: DISK_KEPT - _HOUR,
    Stage.DISK_DELETED: DISK_KEPT,
}
"""When each stage is due, from the end of the lifetime."""


@dataclass(frozen=True)
class LifetimeWarning:
    """Of what kind the notice is, its subject after the instance's name, and its text."""

    kind: str
    subject: str
    text: str


def stage_at(end_at: datetime, now: datetime) -> Stage:
    """The latest stage that is due."""
    due = [stage for stage, offset in AFTER_END.items() if end_at + offset <= now]
    return max(due, default=Stage.FRESH)


def warning_of(stage: Stage, end_at: datetime) -> LifetimeWarning | None:
    """What the client is told at a stage; None where nothing is to be said."""
    ends, deleted = _spelled(end_at), _spelled(end_at + DISK_KEPT)
    match stage:
        case Stage.ENDS_IN_A_DAY | Stage.ENDS_IN_AN_HOUR:
            return LifetimeWarning(
                notices.EXPIRING,
                "reaches the end of its lifetime soon",
                f"Its lifetime ends at {ends}. It is stopped then, and its disk is deleted at {deleted}, unless the "
                "host extends it. Copy out what you need.",
            )
        case Stage.ENDED:
            return LifetimeWarning(
                notices.EXPIRED,
                "is stopped: its lifetime is over",
                f"Its lifetime ended at {ends}. Its disk is kept, and billed, until {deleted}, then deleted, unless "
                "the host extends the lifetime before.",
            )
        case Stage.DISK_GOES_IN_A_DAY | Stage.DISK_GOES_IN_AN_HOUR:
            return LifetimeWarning(
                notices.DISK_EXPIRING,
                "loses its disk soon",
                f"Its lifetime ended at {ends}. Its disk is deleted at {deleted} with everything on it, unless the "
                "host extends the lifetime before.",
            )
        case Stage.DISK_DELETED:
            return LifetimeWarning(
                notices.DISK_DELETED,
                "and its disk are deleted",
                f"Its lifetime ended at {ends} and the disk was kept until {deleted}. It is deleted now.",
            )
    return None


def _spelled(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
