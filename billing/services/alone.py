"""How much one member of the staff gives a client without a second one."""

from datetime import datetime

from django.conf import settings
from django.db.models import Sum

from billing.domain.adjustments import ALONE_WITHIN, GIVEN, POSTED, needs_second_person
from billing.domain.money import MICROS_PER_DOLLAR, exact_dollars
from billing.models import AdjustmentRequest, EntryKind, Posting


def takes_two(*, kind: str, account_id: int, amount_micros: int, now: datetime) -> bool:
    """Whether somebody else has to agree to give the account so much, after what it was given lately.

    The caller holds the account: of two who give at once one sees what the other gave.
    """
    given = _granted_micros(account_id, now) + _posted_alone_micros(account_id, now)
    return needs_second_person(kind, amount_micros, given_micros=given, alone_micros=alone_micros())


def alone_micros() -> int:
    """The most that is given so within a day."""
    dollars: int = settings.REFUND_ALONE_DOLLARS
    return dollars * MICROS_PER_DOLLAR


def alone_sentence() -> str:
    """For people who want to give more."""
    return f"One person gives an account ${exact_dollars(alone_micros())} a day; for more, somebody else has to agree."


def _granted_micros(account_id: int, now: datetime) -> int:
    """By members of the staff; grants by request are counted with the requests."""
    rows = Posting.objects.filter(account_id=account_id, occurred_at__gt=now - ALONE_WITHIN)
    rows = rows.filter(entry__kind=EntryKind.CREDIT_GRANT, entry__actor__isnull=False, entry__adjustment=None)
    return rows.aggregate(total=Sum("amount_micros"))["total"] or 0


def _posted_alone_micros(account_id: int, now: datetime) -> int:
    rows = AdjustmentRequest.objects.filter(account_id=account_id, decided_at__gt=now - ALONE_WITHIN)
    rows = rows.filter(kind__in=GIVEN, state=POSTED, decided_by=None)
    return rows.aggregate(total=Sum("amount_micros"))["total"] or 0
