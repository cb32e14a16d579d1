"""New rates for many meters at once, with as many statements as for one."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection, transaction

from billing.domain.accrual import check_rate
from billing.models import Meter, MeterKind
from billing.services.accounts import accounts_lock
from billing.services.depletion import zero_at_refresh
from billing.services.settlement import accrued_post, meters_save

_END_SEGMENTS = """
UPDATE billing_metersegment s SET ended_at = m.settled_at
FROM unnest(%s::bigint[], %s::timestamptz[]) AS m (id, settled_at)
WHERE s.meter_id = m.id AND s.ended_at IS NULL
"""
_BEGIN_SEGMENTS = """
INSERT INTO billing_metersegment (meter_id, started_at, rate_micros, counted_bytes)
SELECT s.id, s.started_at, s.rate, 0
FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) AS s (id, started_at, rate)
"""
_SET_RATES = """
UPDATE billing_meter m SET rate_micros = r.rate,
    running_since = CASE WHEN m.running_since IS NOT NULL THEN m.settled_at END
FROM unnest(%s::bigint[], %s::bigint[]) AS r (id, rate)
WHERE m.id = r.id
"""


@transaction.atomic
def meters_set_rates(*, rates: Mapping[str, int], now: datetime) -> int:
    """Charges each meter of time, named by its reference, at its new rate (micro-dollars per hour) from ``now``.

    Posts what the old rates accrued; a meter that has the rate already, is closed or
    unknown stays as it is. Locks
    the payers' accounts. Returns how many meters changed. Raises InvalidRateError.
    """
    for rate in rates.values():
        check_rate(rate)
    known = Meter.objects.filter(reference__in=rates, closed_at=None).exclude(kind=MeterKind.TRAFFIC)
    payer_ids = set(known.values_list("payer_id", flat=True))
    if not payer_ids:
        return 0
    accounts_lock(payer_ids=payer_ids)
    changed = [meter for meter in known.order_by("pk") if meter.rate_micros != rates[meter.reference]]
    if changed:
        _reprice(changed, rates, now)
        zero_at_refresh(owner_ids={meter.payer_id for meter in changed}, now=now)
    return len(changed)


def meter_reprice_paused(*, reference: str, rate_micros: int) -> bool:
    """Sets the rate, micro-dollars per hour, at which a paused meter of time will charge; False for one that is not.

    Nothing accrues meanwhile, so nothing is posted and nobody's account needs a lock: a caller that starts several
    clients at once can't take their locks out of order. Raises InvalidRateError.
    """
    check_rate(rate_micros)
    paused = Meter.objects.filter(reference=reference, running_since=None, closed_at=None)
    return bool(paused.exclude(kind=MeterKind.TRAFFIC).update(rate_micros=rate_micros))


def _reprice(meters: Sequence[Meter], rates: Mapping[str, int], now: datetime) -> None:
    """Settle at the old rates, end the segments that last and begin new ones at the same instants."""
    running = [meter for meter in meters if meter.running_since is not None]
    accrued_post(running, now)
    meters_save(running)
    ids, instants = [meter.pk for meter in running], [meter.settled_at for meter in running]
    with connection.cursor() as cursor:
        cursor.execute(_END_SEGMENTS, [ids, instants])
        cursor.execute(_SET_RATES, [[meter.pk for meter in meters], [rates[meter.reference] for meter in meters]])
        cursor.execute(_BEGIN_SEGMENTS, [ids, instants, [rates[meter.reference] for meter in running]])
