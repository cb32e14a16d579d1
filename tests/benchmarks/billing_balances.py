"""Reading a balance, and finding those whose credit is used up, through the selectors that pages and sweepers use.

The peer of a balance is the account's row by its primary key, as the services read rows; beside it stands, without a
target, the barest statement that reads that row. The peer of the sweeper computes every client's balance from one read
of all wallets, postings and meters.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tests.benchmarks import auction_world as world
from tests.benchmarks import billing_world
from tests.benchmarks.figures import Comparison, slope, tell

BALANCE_TARGET, DEPLETED_TARGET = 1.5, 10.0
ROUND_SECONDS = 0.3

_HISTORY = """
WITH past AS (
    INSERT INTO billing_entry (idempotency_key, kind, memo, occurred_at, details)
    SELECT 'past:' || k, 'adjustment', 'Past', %(start)s::timestamptz + k * interval '1 second', '{}'
    FROM generate_series(1, %(count)s) k
    RETURNING id, occurred_at
)
INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)
SELECT past.id, side.account_id, side.amount, past.occurred_at
FROM past, (VALUES (%(account)s, 1), (%(adjustments)s, -1)) AS side (account_id, amount)
"""
_ROW = "SELECT * FROM billing_ledgeraccount WHERE id = %(id)s"


def balances(sizes: Sequence[int], repeats: int) -> None:
    """A client's balance with so many entries behind it, checkpoints made as in production, and two running meters."""
    found: dict[int, Comparison] = {}
    bare = Comparison(f"the same with {sizes[0]}, against a bare statement", "us")
    for entries in sizes:
        name = f"balance_{entries}"
        billing_world.ledger(name, instances=1, clients=1)
        past_write(entries)
        found[entries] = Comparison(f"balance with {entries} entries behind it", "us", at_most=BALANCE_TARGET)
    for _ in range(repeats):
        for entries in sizes:
            world.use_database(f"balance_{entries}")
            balance, row, statement = balance_and_row(ROUND_SECONDS)
            found[entries].add(balance, row)
            if entries == sizes[0]:
                bare.add(balance, statement)
    for comparison in (*found.values(), bare):
        tell(comparison)
    if len(sizes) > 1:
        costs = [statistics.median(comparison.subject) for comparison in found.values()]
        tell(f"growth of that with the number of entries: {slope(list(sizes), costs):.2f}")


def past_write(entries: int) -> None:
    """So many entries on the first client's account, and the checkpoint that comes every hour."""
    from billing import services  # noqa: PLC0415 - Django is set up by now
    from billing.models import AccountKind  # noqa: PLC0415 - Django is set up by now
    from billing.services.accounts import system_account_id  # noqa: PLC0415 - Django is set up by now

    adjustments = system_account_id(AccountKind.ADJUSTMENTS)
    names = {"start": billing_world.START, "account": billing_world.CLIENTS + 1, "adjustments": adjustments}
    world.execute(_HISTORY, {**names, "count": entries})
    services.checkpoint_accounts(now=billing_world.START)
    world.execute("VACUUM ANALYZE")


def balance_and_row(seconds: float) -> tuple[float, float, float]:
    """Microseconds of reading the first client's balance, its account's row, and that by a bare statement, in turns."""
    from billing.models import LedgerAccount  # noqa: PLC0415 - Django is set up by now
    from billing.selectors import balance_micros  # noqa: PLC0415 - Django is set up by now
    from marketplace.models import User  # noqa: PLC0415 - Django is set up by now

    client, later = User(pk=billing_world.CLIENTS + 1), billing_world.START + timedelta(minutes=30)
    subject: list[float] = []
    peer: list[float] = []
    bare: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        subject.append(_microseconds(lambda: balance_micros(client, later)))
        peer.append(_microseconds(lambda: LedgerAccount.objects.get(pk=billing_world.CLIENTS + 1)))
        bare.append(_microseconds(lambda: world.scalar(_ROW, {"id": billing_world.CLIENTS + 1})))
    return statistics.median(subject), statistics.median(peer), statistics.median(bare)


def depleted(clients: int, repeats: int) -> Comparison:
    """Who has used up its credit, one client in a thousand: by index, against computing every balance."""
    from billing.selectors import exhausted_payers  # noqa: PLC0415 - Django is set up by now

    billing_world.ledger("depletion", instances=clients, clients=clients)
    billing_world.ends_of_credit_write(clients)
    now = instant_when_depleted(max(1, clients // 1_000))
    comparison = Comparison(f"used up among {clients} clients", "ms", "peer/subject", at_least=DEPLETED_TARGET)
    for _ in range(repeats):
        began = time.perf_counter()
        expected = scanned_payers(clients, now)
        scan = time.perf_counter() - began
        assert sorted(exhausted_payers(now)) == expected, "index and scan disagree"
        comparison.add(_microseconds(lambda: exhausted_payers(now)) / 1e3, scan * 1e3)
    return comparison


def instant_when_depleted(count: int) -> datetime:
    """When so many clients have used up their credit."""
    from billing.models import LedgerAccount  # noqa: PLC0415 - Django is set up by now

    instants = LedgerAccount.objects.filter(zero_at__isnull=False).order_by("zero_at").values_list("zero_at", flat=True)
    instant = instants[count - 1]
    assert instant is not None
    return instant


def scanned_payers(clients: int, now: datetime) -> list[int]:
    """The same by computing the balance of each client that spends, in batches."""
    from billing.domain.depletion import balance_micros_at, spend_rate_micros  # noqa: PLC0415 - Django is set up
    from billing.selectors.wallets import client_wallets  # noqa: PLC0415 - Django is set up by now

    found = []
    for first in range(1, clients + 1, billing_world.OWNERS_PER_BATCH):
        owners = range(first, min(first + billing_world.OWNERS_PER_BATCH, clients + 1))
        for wallet in client_wallets([billing_world.CLIENTS + owner for owner in owners]):
            spent = balance_micros_at(wallet.posted_micros, wallet.meters, now) <= 0
            if spent and spend_rate_micros(wallet.meters):
                found.append(wallet.owner_id)
    return found


def _microseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e6
