"""The simulated world: its people, machines, clock, and the account of what was done in it."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from msgspec.structs import replace

from billing.services import credit_grant
from hosting.errors import HostingError
from hosting.services.listing import listing_set
from marketplace.errors import MarketError
from marketplace.models import User
from tests.plumbing import market
from tests.simulation import rows as reading
from tests.simulation.agents import Agent
from tests.simulation.books import Books
from tests.simulation.box import Box
from tests.simulation.clock import Clock, VirtualRedis
from tests.simulation.failure import WrongError
from tests.simulation.history import History
from tests.simulation.kills import KilledError, Watch
from tests.simulation.oracle import check_markets
from tests.simulation.rows import Rows

CLIENTS = 8
POOR = {4: 3, 5: 2, 6: 1, 7: 1}
"""Dollars of those who soon have none left."""
CENT = 10_000
LEDGER_CHECK_EVERY = 40
KEPT_ACTIONS = 30


@dataclass
class World:
    """Everything that a step may touch. ``logged`` are the failures that services caught and only logged."""

    seed: int
    rng: random.Random
    clock: Clock
    redis: VirtualRedis
    watch: Watch
    logged: list[str]
    clients: list[User] = field(default_factory=list)
    agents: list[Agent] = field(default_factory=list)
    history: History = field(default_factory=History)
    books: Books = field(default_factory=Books)
    rows: Rows = field(default_factory=reading.read)
    actions: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_ACTIONS))
    step: int = 0
    checks: int = 0
    hinted: bool = False
    flushed: bool = False
    kills: bool = True
    latest: datetime = market.T0
    """The clock's latest reading: a worker may have read it a while before it comes to act."""
    last_rental: Any = None
    _last_event_id: int = 0

    @property
    def boxes(self) -> dict[int, Box]:
        """By machine id."""
        return {agent.machine_id: agent.box for agent in self.agents}

    def serve(self, what: str, call: Callable[[], Any], *, refusals: tuple[type[Exception], ...] = ()) -> Any:
        """Let a worker do this; it may be killed at it. Returns None when it refused or died."""
        self.note(what)
        self._aim()
        try:
            return call()
        except KilledError:
            self.note("    killed")
        except Exception as error:
            if not isinstance(error, (MarketError, HostingError, *refusals)):
                raise
            self.note(f"    refused: {error}")
        finally:
            self.watch.disarm()
        return None

    def _aim(self) -> None:
        if self.kills and self.rng.random() < 0.12:
            if self.rng.random() < 0.75:
                self.watch.statements_left = int(2 ** self.rng.uniform(0, 7)) - 1
            else:
                self.watch.commits_left = self.rng.choice((0, 0, 0, 1, 2))

    def note(self, what: str) -> None:
        """Add to the account of what was done."""
        self.actions.append(f"{self.step:4} {self.clock.now:%d %H:%M:%S.%f} {what}")

    def check(self) -> None:
        """Hold everything against what should be, if anything was written since the last time."""
        if self.logged:
            raise WrongError("a service logged a failure:\n" + "\n".join(self.logged))
        if not self.watch.wrote:
            return
        self.watch.wrote = False
        self.checks += 1
        before = self.rows
        self.rows = reading.read(self._last_event_id, self.books.last_segment_id, self.books.open_segment_ids)
        if self.rows.events:
            self._last_event_id = self.rows.events[-1].id
        self.history.check(self.rows, self.boxes)
        self.latest = max(self.latest, self.clock.now)
        self.books.check(before, self.rows, self.boxes, self.clock.now, self.latest)
        check_markets(self.rows)
        if self.checks % LEDGER_CHECK_EVERY == 0:
            self.books.check_ledger(self.latest)


def settle_in(world: World) -> None:
    """Hosts with listed machines, and clients with credit, some with little."""
    rng = world.rng
    hosts, world.clients = _people(rng.randint(2, 3), CLIENTS)
    for number in range(rng.randint(2, 4)):
        _machine(world, hosts[number % len(hosts)], number, rng.choice((1, 1, 2, 2, 3, 4, 4, 8)))
    for number, client in enumerate(world.clients):
        grant(world, client, POOR.get(number, 60))
    world.check()


def grant(world: World, client: User, dollars: int) -> None:
    """Credit, without which nobody rents."""
    credit_grant(
        user=client,
        amount_micros=dollars * market.DOLLAR,
        actor=None,
        reason="simulated",
        idempotency_key=f"{world.seed}:{world.step}:{client.pk}",
        now=world.clock.now,
    )


def _people(hosts: int, clients: int) -> tuple[list[User], list[User]]:
    names = [f"host{n}" for n in range(hosts)] + [f"client{n}" for n in range(clients)]
    made = User.objects.bulk_create([User(email=f"{name}@example.com", password="!") for name in names])
    return made[:hosts], made[hosts:]


def _machine(world: World, host: User, number: int, gpus: int) -> None:
    now = world.clock.now
    cards = [market.gpu(index, uuid=f"GPU-{number}-{index}") for index in range(gpus)]
    facts = replace(market.inventory(), gpus=cards, port_last=21_999, disk_total_gb=world.rng.choice((200, 1000)))
    machine = market.register(host, facts, now=now)
    agent = Agent(machine.pk, host, Box(f"machine {machine.pk}", world.rng), facts, now)
    world.agents.append(agent)
    agent.sync(now)
    terms = market.terms(
        gpu_micros_per_hour=world.rng.choice((30, 50)) * CENT,
        min_bid_micros_per_gpu_hour=world.rng.choice((0, 0, 10)) * CENT,
        end_at=now + timedelta(days=30),
    )
    listing_set(machine_id=machine.pk, host=host, terms=terms, now=now)


_KEPT_TABLES = ("django_migrations", "django_content_type", "auth_permission", "django_site")


def empty_database() -> None:
    """Every seed begins in the same: no rows, and ids from one."""
    with connection.cursor() as cursor:
        tables = [t for t in connection.introspection.table_names(cursor) if t not in _KEPT_TABLES]
        names = ", ".join(f'"{table}"' for table in sorted(tables))
        cursor.execute(f"TRUNCATE {names} RESTART IDENTITY")
