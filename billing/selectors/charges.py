"""What was charged and earned, by the thing that was used."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from billing.domain.accrual import charge_at, total_micros_at
from billing.domain.errors import UnknownMeterError
from billing.models import AccountKind, Meter

# One statement, because what a settlement posts between two would be missed or counted twice.
_USED = """
WITH posted AS (
    SELECT e.meter_id, SUM(p.amount_micros) AS micros
    FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
    WHERE p.account_id = (SELECT id FROM billing_ledgeraccount
            WHERE kind = %(kind)s AND owner_id = %(owner_id)s AND reference = '')
        AND p.occurred_at > %(since)s AND p.occurred_at <= %(until)s
    GROUP BY e.meter_id
)
SELECT m.*, COALESCE(posted.micros, 0) AS period_micros
FROM billing_meter m LEFT JOIN posted ON posted.meter_id = m.id
WHERE starts_with(m.reference, %(prefix)s) AND m.id IN (
    SELECT meter_id FROM posted
    UNION ALL
    SELECT id FROM billing_meter
    WHERE closed_at IS NULL AND (payer_id = %(payer_id)s OR payee_id = %(payee_id)s)
)
ORDER BY m.reference
"""


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
    meters = _used(AccountKind.CLIENT_CREDIT, user, since, until, prefix)
    accrued = since < now <= until
    return _totals(
        (meter, (charge_at(meter.state, now).total_micros if accrued else 0) - posted) for meter, posted in meters
    )


def earnings_by_reference(
    user: AbstractBaseUser, since: datetime, until: datetime, now: datetime, prefix: str = ""
) -> list[ReferenceTotal]:
    """What each meter earned the host (its own part) after ``since`` and up to ``until``.

    Periods, accruals and ``prefix`` are as in ``charges_by_reference``.
    """
    meters = _used(AccountKind.HOST_EARNINGS, user, since, until, prefix)
    accrued = since < now <= until
    return _totals(
        (meter, (charge_at(meter.state, now).host_micros if accrued else 0) + posted) for meter, posted in meters
    )


def _used(
    kind: AccountKind, user: AbstractBaseUser, since: datetime, until: datetime, prefix: str
) -> list[tuple[Meter, int]]:
    """The meters with postings in the period and the open ones, each with what it posted on the account."""
    pays = kind == AccountKind.CLIENT_CREDIT
    parameters = {
        "kind": kind.value,
        "owner_id": user.pk,
        "payer_id": user.pk if pays else None,
        "payee_id": None if pays else user.pk,
        "since": since,
        "until": until,
        "prefix": prefix,
    }
    meters = Meter.objects.raw(_USED, parameters)
    return [(meter, int(vars(meter)["period_micros"])) for meter in meters]


def _totals(amounts: Iterable[tuple[Meter, int]]) -> list[ReferenceTotal]:
    return [ReferenceTotal(meter.reference, meter.kind, amount) for meter, amount in amounts if amount]
