"""What happens around the end of a client's credit, and when. Pure.

What runs is stopped when the credit is used up. Disks are kept, and charged as a debt, for a grace or until the debt
reaches its limit, whichever comes first; then they are deleted. The client is warned before each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from billing.domain import notices
from billing.domain.accrual import MeterState
from billing.domain.depletion import zero_at
from billing.domain.money import format_dollars

DAY, HOUR = timedelta(hours=24), timedelta(hours=1)
LATE = HOUR
"""A day's warning that is later than this is no day's warning: the hour's follows."""


class Stage(IntEnum):
    """In the order they are passed."""

    LASTS = 0
    A_DAY_LEFT = 1
    AN_HOUR_LEFT = 2
    USED_UP = 3
    DISKS_GO_SOON = 4


@dataclass(frozen=True, slots=True)
class DebtTerms:
    """How long, and how far into debt, disks are kept without credit."""

    grace: timedelta
    limit_micros: int


@dataclass(frozen=True, slots=True)
class CreditEnd:
    """When the credit is used up, and when the debt reaches its limit, at present rates; None for never."""

    zero_at: datetime | None
    debt_limit_at: datetime | None

    def disks_end_at(self, terms: DebtTerms) -> datetime | None:
        """When disks are deleted if nothing is paid before. True once the credit is used up; before, GPU time counts
        in ``debt_limit_at``.
        """
        if self.zero_at is None:
            return None
        grace_ends = self.zero_at + terms.grace
        return grace_ends if self.debt_limit_at is None else min(grace_ends, self.debt_limit_at)


@dataclass(frozen=True, slots=True)
class CreditWarning:
    """Of what kind the notice is, its subject, and its text. ``name`` tells warnings about one end apart."""

    name: str
    kind: str
    subject: str
    text: str


def credit_end(
    posted_micros: int, meters: Sequence[MeterState], now: datetime, previous: CreditEnd, limit_micros: int
) -> CreditEnd:
    """Both ends of the credit, to the microsecond; one that has passed keeps the instant in ``previous``."""
    return CreditEnd(
        zero_at(posted_micros, meters, now, previous.zero_at),
        zero_at(posted_micros + limit_micros, meters, now, previous.debt_limit_at),
    )


def stage_at(end: CreditEnd, terms: DebtTerms, now: datetime) -> Stage:
    """The latest stage that is due."""
    disks_end_at = end.disks_end_at(terms)
    if end.zero_at is None or disks_end_at is None or end.zero_at > now + DAY:
        return Stage.LASTS
    if end.zero_at > now:
        return Stage.A_DAY_LEFT if end.zero_at > now + HOUR else Stage.AN_HOUR_LEFT
    return Stage.DISKS_GO_SOON if _disks_warned_at(end.zero_at, disks_end_at) <= now else Stage.USED_UP


def _disks_warned_at(used_up_at: datetime, disks_end_at: datetime) -> datetime:
    """A day before disks are deleted; half way where they are kept for less than that."""
    day_before = disks_end_at - DAY
    return day_before if day_before >= used_up_at else used_up_at + (disks_end_at - used_up_at) / 2


def warning_of(stage: Stage, end: CreditEnd, terms: DebtTerms, now: datetime) -> CreditWarning | None:
    """What the client is told at a stage; None where nothing is to be said."""
    disks_end_at = end.disks_end_at(terms)
    if end.zero_at is None or disks_end_at is None:
        return None
    match stage:
        case Stage.A_DAY_LEFT if end.zero_at > now + DAY - LATE:
            return _low("day_left", end.zero_at, "a day")
        case Stage.AN_HOUR_LEFT:
            return _low("hour_left", end.zero_at, "an hour")
        case Stage.USED_UP:
            return used_up(end.zero_at, terms)
        case Stage.DISKS_GO_SOON:
            return CreditWarning(
                "disks_go_soon",
                notices.DISKS_EXPIRING,
                f"Your disks are deleted at {_spelled(disks_end_at)}",
                f"Your credit was used up at {_spelled(end.zero_at)}, and the disks of your instances have been kept "
                f"since. They are deleted at {_spelled(disks_end_at)} with everything on them, unless your credit is "
                "above zero before.",
            )
    return None


def _low(name: str, zero: datetime, left: str) -> CreditWarning:
    return CreditWarning(
        name,
        notices.CREDIT_LOW,
        f"Your credit lasts for {left} more",
        f"At what you spend now, your credit is used up at {_spelled(zero)}. Your instances are stopped then. Add "
        "credit before to keep them running.",
    )


def used_up(zero: datetime, terms: DebtTerms) -> CreditWarning:
    """What the client is told when its instances are stopped."""
    return CreditWarning(
        "used_up",
        notices.CREDIT_USED_UP,
        "Your credit is used up: your instances are stopped",
        f"Your credit was used up at {_spelled(zero)}, and what ran was stopped. Nothing is deleted yet: disks are "
        f"kept, and charged, until {_spelled(zero + terms.grace)} or until you owe "
        f"${format_dollars(terms.limit_micros)}, whichever comes first. Add credit before to keep them.",
    )


def disks_deleted(deleted_at: datetime, instance_ids: Sequence[int]) -> CreditWarning:
    """What the client is told when its disks are deleted."""
    names = ", ".join(str(instance_id) for instance_id in instance_ids)
    return CreditWarning(
        "disks_deleted",
        notices.DISKS_DELETED,
        "Your disks are deleted",
        f"Your credit was not renewed in time, so these instances and their disks are deleted: {names}. They were "
        f"charged until {_spelled(deleted_at)} and not longer.",
    )


def volumes_deleted(deleted_at: datetime, volume_ids: Sequence[int]) -> CreditWarning:
    """What the client is told when its volumes are deleted."""
    names = ", ".join(f"V.{volume_id}" for volume_id in volume_ids)
    return CreditWarning(
        "volumes_deleted",
        notices.DISKS_DELETED,
        "Your volumes are deleted",
        f"Your credit was not renewed in time, so these volumes are deleted: {names}. They were charged until "
        f"{_spelled(deleted_at)} and not longer.",
    )


def _spelled(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
