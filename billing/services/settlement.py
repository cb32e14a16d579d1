"""Posting what meters have accrued: the one way from a meter to the ledger, for one meter or for many."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from billing import locks
from billing.domain.accrual import Charge, charge_at, units_at
from billing.domain.entries import EntryDraft, Line
from billing.models import AccountKind, EntryKind, Meter, MeterKind
from billing.services.accounts import owned_account_ids, system_account_id
from billing.services.ledger import entries_post

PAYERS_PER_BATCH = 500

_SAVE = """
UPDATE billing_meter m SET units = s.units, settled_at = s.settled_at, posted_micros = s.posted_micros,
    share_units = s.share_units, postings_count = s.postings_count
FROM unnest(%s::bigint[], %s::numeric[], %s::timestamptz[], %s::bigint[], %s::numeric[], %s::integer[])
    AS s (id, units, settled_at, posted_micros, share_units, postings_count)
WHERE m.id = s.id
"""


def settle_running(*, now: datetime) -> int:
    """Posts what every open meter has accrued up to ``now``; returns the number of entries.

    Commits in batches of clients: after a crash, running it again goes on where it stopped. Running it
    twice, or twice at once, posts nothing twice.
    """
    return sum(_settle_payers(payer_ids, now) for payer_ids in _payer_batches(now))


def settle_payer(*, payer: AbstractBaseUser, now: datetime) -> int:
    """Posts what this client's open meters have accrued up to ``now``; returns the number of entries."""
    return _settle_payers([payer.pk], now)


def accrued_post(meters: Sequence[Meter], now: datetime) -> int:
    """Moves the meters on to ``now`` and posts what that adds; returns the number of entries.

    The caller holds the payers' locks and saves the meters. A meter settled later than ``now`` stays as it
    is.
    """
    charged = [(meter, meter.settled_at, _advance(meter, now)) for meter in meters]
    due = [(meter, since, charge) for meter, since, charge in charged if charge.total_micros]
    if due:
        ids = _account_ids([meter for meter, _, _ in due])
        entries_post([_draft(meter, since, charge, ids) for meter, since, charge in due])
    return len(due)


def _payer_batches(now: datetime) -> Iterator[list[int]]:
    """Ids of clients with something to settle, in order, a batch at a time and each read when the last is
    done.
    """
    last_id = 0
    waiting = _waiting(now).order_by("payer_id").values_list("payer_id", flat=True).distinct()
    while True:
        after = waiting.filter(payer_id__gt=last_id)
        payer_ids = list(after[:PAYERS_PER_BATCH])
        if not payer_ids:
            return
        yield payer_ids
        last_id = payer_ids[-1]


@transaction.atomic
def _settle_payers(payer_ids: list[int], now: datetime) -> int:
    """Leaves the ends of credit alone: settling changes no rate and no balance at any instant from ``now`` on."""
    locks.client_accounts(payer_ids)
    meters = list(_waiting(now).filter(payer_id__in=payer_ids).order_by("pk"))
    posted = accrued_post(meters, now)
    meters_save(meters)
    return posted


def _waiting(now: datetime) -> QuerySet[Meter]:
    """Meters that may have something to post; paused ones posted when they paused."""
    running = Q(running_since__isnull=False, settled_at__lt=now)
    return Meter.objects.filter(running | Q(kind=MeterKind.TRAFFIC), closed_at=None)


def _advance(meter: Meter, now: datetime) -> Charge:
    """Counts up to ``now`` on the object and returns what is to be posted."""
    state = meter.state
    charge = charge_at(state, now)
    meter.units = Decimal(units_at(state, now))
    meter.settled_at = max(now, meter.settled_at)
    meter.posted_micros += charge.total_micros
    meter.share_units = Decimal(state.share_units + charge.total_micros * state.host_share_bps)
    meter.postings_count += bool(charge.total_micros)
    return charge


def _account_ids(meters: Sequence[Meter]) -> dict[tuple[AccountKind, int], int]:
    clients = owned_account_ids(AccountKind.CLIENT_CREDIT, {meter.payer_id for meter in meters})
    hosts = owned_account_ids(AccountKind.HOST_EARNINGS, {meter.payee_id for meter in meters})
    ids = {(AccountKind.CLIENT_CREDIT, owner): pk for owner, pk in clients.items()}
    ids.update({(AccountKind.HOST_EARNINGS, owner): pk for owner, pk in hosts.items()})
    ids[AccountKind.PLATFORM_FEES, 0] = system_account_id(AccountKind.PLATFORM_FEES)
    return ids


def _draft(meter: Meter, since: datetime, charge: Charge, ids: dict[tuple[AccountKind, int], int]) -> EntryDraft:
    return EntryDraft(
        idempotency_key=f"meter:{meter.pk}:{meter.postings_count}",
        kind=EntryKind.USAGE,
        memo=f"{MeterKind(meter.kind).label} {meter.reference}",
        occurred_at=meter.settled_at,
        meter_id=meter.pk,
        lines=(
            Line(ids[AccountKind.CLIENT_CREDIT, meter.payer_id], -charge.total_micros),
            Line(ids[AccountKind.HOST_EARNINGS, meter.payee_id], charge.host_micros),
            Line(ids[AccountKind.PLATFORM_FEES, 0], charge.platform_micros),
        ),
        details={
            "since": since.isoformat(),
            "rate_micros": meter.rate_micros,
            "host_share_bps": meter.host_share_bps,
        },
    )


def meters_save(meters: Sequence[Meter]) -> None:
    """Write what ``accrued_post`` counted on these meters, in one statement."""
    columns = (
        [meter.pk for meter in meters],
        [meter.units for meter in meters],
        [meter.settled_at for meter in meters],
        [meter.posted_micros for meter in meters],
        [meter.share_units for meter in meters],
        [meter.postings_count for meter in meters],
    )
    with connection.cursor() as cursor:
        cursor.execute(_SAVE, columns)
