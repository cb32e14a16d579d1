"""What was charged and earned, by the thing that was used."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet, Sum

from billing.domain.accrual import charge_at, total_micros_at
from billing.domain.errors import UnknownMeterError
from billing.models import AccountKind, EntryKind, Meter, Posting


@dataclass(frozen=True, slots=True)
class ReferenceTotal:
    """Micro-dollars that one meter charged (or earned) in a period."""

    reference: str
    kind: str
    amount_micros: int


def meter_total_micros(reference: str, now: datetime) -> int:
    """All that this meter has charged up to ``now`` in micro-dollars. Raises UnknownMeterError."""
    totals = meter_totals_micros([reference], now)
    if reference not in totals:
        raise UnknownMeterError(f"There is no meter {reference!r}.")
    return totals[reference]


def meter_totals_micros(references: Iterable[str], now: datetime) -> dict[str, int]:
    """``meter_total_micros`` of several meters; references without a meter are left out."""
    meters = Meter.objects.filter(reference__in=list(references))
    return {meter.reference: total_micros_at(meter.state, now) for meter in meters}


def charges_by_reference(
    user: AbstractBaseUser, since: datetime, until: datetime, now: datetime, prefix: str = ""
) -> list[ReferenceTotal]:
    """What each of the client's meters charged after ``since`` and up to ``until``, ordered by reference.

    A posting belongs to the end of the time it pays for. What is accrued and not posted belongs to ``now``
    and is included when the period contains it. ``prefix`` narrows to references that begin with it.
    """
    posted = _posted(AccountKind.CLIENT_CREDIT, user, since, until, prefix)
    totals = {key: -amount for key, amount in posted.items()}
    if since < now <= until:
        for meter in _open(Meter.objects.filter(payer_id=user.pk), prefix):
            _add(totals, meter, charge_at(meter.state, now).total_micros)
    return _ordered(totals)


def earnings_by_reference(
    user: AbstractBaseUser, since: datetime, until: datetime, now: datetime, prefix: str = ""
) -> list[ReferenceTotal]:
    """What each meter earned the host (its own part) after ``since`` and up to ``until``; as
    charges_by_reference.
    """
    totals = _posted(AccountKind.HOST_EARNINGS, user, since, until, prefix)
    if since < now <= until:
        for meter in _open(Meter.objects.filter(payee_id=user.pk), prefix):
            _add(totals, meter, charge_at(meter.state, now).host_micros)
    return _ordered(totals)


def _posted(
    kind: AccountKind, user: AbstractBaseUser, since: datetime, until: datetime, prefix: str
) -> dict[tuple[str, str], int]:
    postings = Posting.objects.filter(
        account__kind=kind,
        account__owner_id=user.pk,
        occurred_at__gt=since,
        occurred_at__lte=until,
        entry__kind=EntryKind.USAGE,
        entry__meter__reference__startswith=prefix,
    )
    rows = postings.values_list("entry__meter__reference", "entry__meter__kind").annotate(total=Sum("amount_micros"))
    return {(reference, kind): total for reference, kind, total in rows}


def _open(meters: "QuerySet[Meter]", prefix: str) -> "QuerySet[Meter]":
    return meters.filter(closed_at=None, reference__startswith=prefix)


def _add(totals: dict[tuple[str, str], int], meter: Meter, amount_micros: int) -> None:
    key = (meter.reference, meter.kind)
    if amount_micros:
        totals[key] = totals.get(key, 0) + amount_micros


def _ordered(totals: dict[tuple[str, str], int]) -> list[ReferenceTotal]:
    return [ReferenceTotal(reference, kind, amount) for (reference, kind), amount in sorted(totals.items())]
