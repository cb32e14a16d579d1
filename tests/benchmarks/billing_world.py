"""A ledger of any size for measuring billing, written by SQL and true to what the services would have written.

Every client has a credit of its own size and its instances, each with a meter of GPU time and one of storage that run
since ``START``; every host earns from ten instances, each on a machine of its own. The ledger's proofs hold.
"""

from datetime import UTC, datetime, timedelta

from django.db import transaction

from tests.benchmarks import auction_world as world

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANCES_PER_HOST = 10
OWNERS_PER_BATCH = 2_000
CLIENTS, HOSTS, METERS = 10_000_000, 20_000_000, 30_000_000
"""Ids begin here; an account has the id of its owner, a grant that of its client."""

_COPY = """
INSERT INTO {table} ({columns}) SELECT {values} FROM {table} b, generate_series(1, %(count)s) k WHERE b.id = %(first)s
"""
_GRANTS = """
INSERT INTO billing_entry (id, idempotency_key, kind, memo, occurred_at, details)
SELECT %(first)s + k, 'grant:bench' || k, 'credit_grant', 'Credit', %(start)s, '{}' FROM generate_series(1, %(count)s) k
"""
_GRANT = "(1 + k %% 97) * 10000000"
_GRANTED = f"""
INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)
SELECT %(first)s + k, side.account_id, side.sign * {_GRANT}, %(start)s
FROM generate_series(1, %(count)s) k, (VALUES (1, 0), (-1, %(adjustments)s)) AS s (sign, account),
    LATERAL (SELECT s.sign, CASE WHEN s.sign = 1 THEN %(first)s + k ELSE s.account END AS account_id) side
"""
_METERS = """
INSERT INTO billing_meter (id, reference, kind, earner, payer_id, payee_id, rate_micros, host_share_bps,
    running_since, settled_at, units, counted_bytes, posted_micros, share_units, postings_count, opened_at)
SELECT %(meters)s + 2 * i + kind.number, 'instance:' || i || ':' || kind.name, kind.name, 'machine:' || i,
    %(clients)s + 1 + i %% %(clients_count)s, %(hosts)s + 1 + i %% %(hosts_count)s,
    kind.rate + 1000 * (i %% 89), 7500, %(start)s, %(start)s, 0, 0, 0, 0, 0, %(start)s
FROM generate_series(0, %(count)s - 1) i, (VALUES (0, 'gpu', 200000), (1, 'storage', 7000)) AS kind (number, name, rate)
"""
_SEGMENTS = """
INSERT INTO billing_metersegment (meter_id, rate_micros, started_at, counted_bytes)
SELECT id, rate_micros, opened_at, 0 FROM billing_meter WHERE id >= %(meters)s
"""
_USAGE = """
WITH charge AS (
    SELECT *, rate_micros * %(hours)s AS total, rate_micros * %(hours)s * host_share_bps / 10000 AS host
    FROM billing_meter WHERE id >= %(meters)s
), entry AS (
    INSERT INTO billing_entry (idempotency_key, kind, memo, meter_id, occurred_at, details)
    SELECT 'meter:' || id || ':1', 'usage', reference, id, %(until)s, jsonb_build_object(
        'since', %(start)s::timestamptz, 'rate_micros', rate_micros, 'host_share_bps', host_share_bps)
    FROM charge
    RETURNING id, meter_id
)
INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)
SELECT entry.id, side.account_id, side.amount, %(until)s
FROM entry JOIN charge ON charge.id = entry.meter_id, LATERAL (
    VALUES (payer_id, -total), (payee_id, host), (%(fees)s, total - host)) AS side (account_id, amount)
"""
_SETTLED = """
UPDATE billing_meter SET settled_at = %(until)s, units = rate_micros * %(hours)s * 3600000000::numeric,
    posted_micros = rate_micros * %(hours)s, postings_count = 1,
    share_units = rate_micros * %(hours)s * host_share_bps::numeric
WHERE id >= %(meters)s
"""
_TABLES = ("marketplace_user", "billing_ledgeraccount", "billing_entry", "billing_posting", "billing_meter")


@transaction.atomic
def ledger_fill(instances: int, clients: int, hosts: int | None = None) -> None:
    """Clients and hosts with so many running instances between them."""
    hosts = max(1, instances // INSTANCES_PER_HOST) if hosts is None else hosts
    _owners("client", "client_credit", CLIENTS, clients)
    _owners("host", "host_earnings", HOSTS, hosts)
    names = {"first": CLIENTS, "count": clients, "start": START, "adjustments": _system_accounts()}
    world.execute(_GRANTS, names)
    world.execute(_GRANTED, names)
    ids = {"meters": METERS, "clients": CLIENTS, "hosts": HOSTS}
    counts = {"count": instances, "clients_count": clients, "hosts_count": hosts}
    world.execute(_METERS, {**ids, **counts, "start": START})
    world.execute(_SEGMENTS, ids)
    for table in _TABLES:
        world.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


def _owners(name: str, kind: str, first: int, count: int) -> None:
    """A user and its account, written by their models, and so many like them."""
    from billing.models import LedgerAccount  # noqa: PLC0415 - Django is set up by now
    from marketplace.models import User  # noqa: PLC0415 - Django is set up by now

    LedgerAccount.objects.create(
        pk=first, kind=kind, owner=User.objects.create(pk=first, email=f"{name}@bench.example")
    )
    number = "%(first)s + k"
    _copy("marketplace_user", {"id": number, "email": f"'{name}' || k || '@bench.example'"}, first, count)
    granted = {"granted_micros": _GRANT} if kind == "client_credit" else {}
    _copy("billing_ledgeraccount", {"id": number, "owner_id": number, **granted}, first, count)


def _copy(table: str, own: dict[str, str], first: int, count: int) -> None:
    columns = world.columns_of(table)
    values = [own.get(column, f'b."{column}"') for column in columns]
    statement = _COPY.format(table=table, columns=", ".join(columns), values=", ".join(values))
    world.execute(statement, {"first": first, "count": count})


def _system_accounts() -> int:
    """The accounts that nobody owns; the id of that for adjustments."""
    from billing.models import AccountKind  # noqa: PLC0415 - Django is set up by now
    from billing.services.accounts import system_account_id  # noqa: PLC0415 - Django is set up by now

    system_account_id(AccountKind.PLATFORM_FEES)
    return system_account_id(AccountKind.ADJUSTMENTS)


def ends_of_credit_write(clients: int) -> None:
    """The instant at which each client's credit is used up, as the services keep it."""
    from billing.services.depletion import zero_at_refresh  # noqa: PLC0415 - Django is set up by now

    for first in range(1, clients + 1, OWNERS_PER_BATCH):
        owners = range(first, min(first + OWNERS_PER_BATCH, clients + 1))
        zero_at_refresh(owner_ids=[CLIENTS + owner for owner in owners], now=START)
    world.execute("VACUUM ANALYZE billing_ledgeraccount")


def settled_write(until: datetime) -> None:
    """What settling all meters at ``until``, a number of full hours after ``START``, would have written."""
    names = {"start": START, "until": until, "hours": (until - START) // HOUR, "meters": METERS, "fees": _fees()}
    world.execute(_USAGE, names)
    world.execute(_SETTLED, names)


def _fees() -> int:
    from billing.models import AccountKind  # noqa: PLC0415 - Django is set up by now
    from billing.services.accounts import system_account_id  # noqa: PLC0415 - Django is set up by now

    return system_account_id(AccountKind.PLATFORM_FEES)


def ledger(name: str, *, instances: int, clients: int, hosts: int | None = None, until: datetime | None = None) -> None:
    """A new database of this name with such a ledger, settled at ``until``, in use by this process from now on."""
    world.database(name)
    world.execute("SET session_replication_role = replica")  # sparing references that hold
    ledger_fill(instances, clients, hosts)
    if until is not None:
        settled_write(until)
    world.execute("SET session_replication_role = DEFAULT")
    world.execute("VACUUM ANALYZE")
    world.execute("CHECKPOINT")
