"""Payouts are made: what hosts are due leaves their earnings, to be sent."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from billing import locks
from billing.domain.payouts import CREATION, PayoutState, payable_micros, payout_key
from billing.models import HostInvoice, Payout, PayoutEvent, PayoutMethod, PayoutMethodState, WeeklyRun, WeeklyRunState
from billing.selectors.payables import payable_hosts, payables
from billing.services.earnings_holds import payouts_recall_held
from billing.services.ledger import entries_post
from billing.services.payout_states import payout_draft

HOSTS_PER_BATCH = 500


def payouts_create(*, now: datetime) -> int:
    """Makes the payouts of the newest week that is invoiced, for every host that is due one and has none; returns how
    many.

    A host that becomes ready, or is no longer held, later in the week gets its payout then. An amount that is held
    stays where it is. Commits in batches; doubled or at once it pays nothing twice.
    """
    payouts_recall_held(now=now)
    run = WeeklyRun.objects.filter(state=WeeklyRunState.DONE).order_by("-period_end").first()
    if run is None:
        return 0
    hosts = payable_hosts(run, settings.PAYOUT_MINIMUM_MICROS)
    batches = (hosts[start : start + HOSTS_PER_BATCH] for start in range(0, len(hosts), HOSTS_PER_BATCH))
    return sum(_create(run, batch, now) for batch in batches)


@transaction.atomic
def _create(run: WeeklyRun, host_ids: Sequence[int], now: datetime) -> int:
    """Looks again under the hosts' locks: whoever had them before may have paid, for this week or a later one."""
    locks.host_accounts(host_ids)
    newer = WeeklyRun.objects.filter(state=WeeklyRunState.DONE, period_end__gt=run.period_end)
    if newer.exists():
        return 0
    paid = set(_made(run, host_ids).exclude(state=PayoutState.RECALLED).values_list("host_id", flat=True))
    amounts = {
        row.host_id: amount
        for row in payables(run, set(host_ids) - paid)
        if (amount := payable_micros(row.balance_micros, row.later_micros, settings.PAYOUT_MINIMUM_MICROS, row.held))
    }
    payouts = Payout.objects.bulk_create(_new(run, amounts, now))
    PayoutEvent.objects.bulk_create(
        [PayoutEvent(payout=payout, at=now, new_state=PayoutState.CREATED) for payout in payouts]
    )
    entries_post([payout_draft(payout, CREATION, now) for payout in payouts])
    return len(payouts)


def _made(run: WeeklyRun, host_ids: Collection[int]) -> QuerySet[Payout]:
    return Payout.objects.filter(run=run, host_id__in=host_ids)


def _new(run: WeeklyRun, amounts: dict[int, int], now: datetime) -> list[Payout]:
    methods = PayoutMethod.objects.filter(host_id__in=amounts, state=PayoutMethodState.READY).order_by("host_id")
    invoices = HostInvoice.objects.filter(run=run, host_id__in=amounts)
    invoice_ids = dict(invoices.values_list("host_id", "pk"))
    recalled = Counter(_made(run, amounts).values_list("host_id", flat=True))
    return [
        Payout(
            host_id=method.host_id,
            run=run,
            invoice_id=invoice_ids.get(method.host_id),
            key=payout_key(run.period_end, method.host_id, recalled[method.host_id]),
            provider=method.provider,
            destination=method.account_id,
            amount_micros=amounts[method.host_id],
            created_at=now,
            next_at=now,
        )
        for method in methods
    ]
