"""A market of any size for measuring the auction: one machine made by the real services, then copied by SQL.

The machine has 4 GPUs, three offers and three bids: two run (2 GPUs and 1 GPU), a third for 2 GPUs waits. Every client
has three instances, every host ten machines. Copies are rows like the first, with ids shifted by ``STRIDE`` for each.
"""

import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from scripts.services.postgres import PostgresServer, wait_ready
from scripts.services.processes import ManagedProcess
from tests.plumbing.environment import start_valkey

STRIDE = 1_000
"""Between the ids of one copy and the next; more than any table of the first machine has rows."""
SEED = "seed"
CENT = 10_000
_SERVER_SETTINGS = {
    "shared_buffers": "4GB",
    "effective_cache_size": "12GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
"""As one would set them for this market on a server of this size; the same server serves peer and subject."""

_OWNED = {"billing_ledgeraccount": " AND b.owner_id IS NOT NULL"}
_COPIES: list[tuple[str, dict[str, str]]] = [
    ("marketplace_user", {"id": "b.id + k * %(stride)s", "email": "k || '-' || b.email"}),
    ("billing_ledgeraccount", {"id": "b.id + k * %(stride)s", "owner_id": "b.owner_id + k * %(stride)s"}),
    ("hosting_machine", {"boot_id": "k || ':' || b.boot_id", "credential_hash": "k || ':' || left(b.boot_id, 40)"}),
    ("hosting_gpu", {"uuid": "k || ':' || b.uuid"}),
    ("hosting_listing", {}),
    ("marketplace_offer", {}),
    ("hosting_task", {}),
    ("hosting_gpuclaim", {}),
    ("hosting_portlease", {}),
    ("marketplace_instance", {}),
    ("billing_meter", {"reference": "replace(b.reference, ':' || {instance} || ':', ':' || {copied} || ':')"}),
    ("billing_metersegment", {}),
    ("billing_entry", {"idempotency_key": "k || ':' || b.idempotency_key"}),
    (
        "billing_posting",
        {"account_id": "b.account_id + CASE WHEN b.account_id = ANY({shared}) THEN 0 ELSE k * 1000 END"},
    ),
]
_SHARED = "ARRAY(SELECT id FROM billing_ledgeraccount WHERE owner_id IS NULL)"
_SHIFTED = {"id", "machine_id", "gpu_id", "task_id", "offer_id", "meter_id", "entry_id"}
_CLIENTS, _HOSTS = {"client_id", "payer_id"}, {"host_id", "payee_id"}


@contextmanager
def servers(*, market: bool = True) -> Iterator[Path]:
    """A durable PostgreSQL and a Valkey of our own; Django is set up on them and the first machine exists.

    Without ``market`` the tables are empty. Yields the folder of both.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_disk()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = PostgresServer(folder / "postgres", durable=True)
        options = [part for key, value in _SERVER_SETTINGS.items() for part in ("-c", f"{key}={value}")]
        command = [*server.prepare(die_with_parent="INT"), *options]
        postgres = ManagedProcess("postgres", command, folder / "postgres.log")
        postgres.start()
        assert postgres.popen is not None
        wait_ready(server, postgres.popen, postgres.log)
        valkey, valkey_process = start_valkey(folder)
        try:
            server.create_database(SEED)
            set_up(server.url(SEED), valkey.url())
            call_command("migrate", verbosity=0)
            if market:
                market_seed(timezone.now() - timedelta(hours=1))
            yield folder
        finally:
            connection.close()
            postgres.stop()
            valkey_process.stop()


def _disk() -> Path:
    """Where the data lies: on this checkout's disk, never in memory, or durability would cost nothing."""
    folder = Path(__file__).resolve().parent.parent.parent / "var" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def set_up(database_url: str, redis_url: str) -> None:
    """Point Django at these servers, as an installation would be."""
    os.environ |= {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "b" * 50,
        "FIELD_ENCRYPTION_KEYS": base64.b64encode(b"b" * 32).decode(),
        "LOG_LEVEL": "ERROR",
    }
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()


def use_database(name: str) -> None:
    """From now on this process talks to the database ``name`` of the same server."""
    connection.close()
    connection.settings_dict["NAME"] = name


def execute(query: str, values: dict[str, Any] | None = None) -> int:
    """Run one statement; the number of rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return int(cursor.rowcount)


def scalar(query: str, values: dict[str, Any] | None = None) -> int:
    """The one number that the query gives."""
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return int(cursor.fetchone()[0])


def market_seed(now: datetime) -> None:
    """The first machine, through the services."""
    from marketplace.services.rent import instance_rent  # noqa: PLC0415 - Django is set up by now
    from tests.plumbing import market  # noqa: PLC0415 - Django is set up by now

    agent = market.listed_machine(now=now, end_at=now + timedelta(days=90), min_bid_micros_per_gpu_hour=CENT)
    for gpus, cents in ((2, 60), (1, 35), (2, 30)):
        client = market.user()
        market.grant(client, 1_000, now)
        wish = market.wish(bid_micros_per_hour=cents * CENT, accepts_waiting=True)
        instance_rent(client=client, offer_id=market.offer(agent, gpus).pk, request=wish, now=now)
        agent.obey(now)


def name_of(machines: int) -> str:
    """The database of the market with so many machines."""
    return f"bench_{machines}"


def world(machines: int) -> str:
    """A new database with so many machines, in use by this process from now on; its name."""
    name = name_of(machines)
    database(name)
    execute("SET session_replication_role = replica")  # sparing references that hold, copied in this order
    market_copy(machines)
    execute("SET session_replication_role = DEFAULT")
    execute("VACUUM ANALYZE")
    execute("CHECKPOINT")
    return name


def database(name: str) -> str:
    """A new database like the first one, in use by this process from now on; its DATABASE_URL."""
    use_database("postgres")
    execute(f'DROP DATABASE IF EXISTS "{name}"')
    execute(f'CREATE DATABASE "{name}" TEMPLATE "{SEED}"')
    use_database(name)
    return current_url()


@transaction.atomic
def market_copy(machines: int) -> None:
    """Copy the first machine until there are ``machines``, with all that hangs on it."""
    owners = {"clients": machines, "hosts": max(1, machines // 10)}
    for table, own in _COPIES:
        _copy(table, own, machines - 1, owners)
    for table, _ in _COPIES:
        execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


def _copy(table: str, own: dict[str, str], copies: int, owners: dict[str, int]) -> None:
    names = {"instance": "split_part(b.reference, ':', 2)", "shared": _SHARED}
    names["copied"] = f"(({names['instance']})::bigint + k * {STRIDE})"
    columns = {column: own.get(column, _copied(column, owners)).format(**names) for column in columns_of(table)}
    execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
        f"FROM {table} b, generate_series(1, %(copies)s) k "
        f"WHERE b.id < %(stride)s{_OWNED.get(table, '')} ORDER BY k, b.id",
        {"copies": copies, "stride": STRIDE},
    )


def _copied(column: str, owners: dict[str, int]) -> str:
    if column in _SHIFTED:
        return f"b.{column} + k * %(stride)s"
    if column in _CLIENTS | _HOSTS:
        count = owners["clients" if column in _CLIENTS else "hosts"]
        return f"b.{column} + (k %% {count}) * %(stride)s"
    return f'b."{column}"'


def columns_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [field.name for field in connection.introspection.get_table_description(cursor, table)]


def current_url() -> str:
    """DATABASE_URL of the database that this process talks to."""
    return f"{os.environ['DATABASE_URL'].rsplit('/', 1)[0]}/{connection.settings_dict['NAME']}"
