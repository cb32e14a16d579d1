"""One seed's story from its beginning to its end."""

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

from django.test import override_settings

from billing.services import running_out
from hosting.gateways import presence, wakeup
from hosting.services import idle_jobs, inventory, listing, offline, reports
from marketplace.celery import app
from marketplace.gateways import clearing_hint
from marketplace.services import clearing, stopping
from tests.plumbing.market import T0
from tests.simulation import clients, hosts, machines, operations
from tests.simulation.calm import calm_down
from tests.simulation.clock import Clock, VirtualRedis
from tests.simulation.kills import watching
from tests.simulation.world import World, empty_database, settle_in

Action = Callable[[World], None]

WEIGHTS: dict[Action, int] = {
    machines.sync: 180,
    machines.send: 25,
    machines.some_arrive: 25,
    machines.hear: 25,
    machines.lose: 6,
    machines.work: 20,
    machines.container_exits: 5,
    machines.container_is_lost: 3,
    machines.agent_crashes: 6,
    machines.machine_reboots: 4,
    machines.silence_or_return: 12,
    machines.engine_comes_or_goes: 4,
    machines.clock_goes_wrong: 3,
    machines.gpu_falls_out_or_returns: 3,
    clients.rent: 20,
    clients.rent_with_bid: 45,
    clients.rent_again: 6,
    clients.change_bid: 35,
    clients.stop: 12,
    clients.start: 20,
    clients.reboot: 6,
    clients.destroy: 10,
    clients.label: 2,
    clients.add_credit: 3,
    hosts.set_idle_job: 6,
    hosts.remove_idle_job: 3,
    hosts.set_listing: 6,
    hosts.end_listing: 2,
    hosts.set_min_bid: 4,
    hosts.extend: 2,
    hosts.gpu_breaks_or_heals: 8,
    operations.clear_marked: 30,
    operations.stop_the_exhausted: 10,
    operations.delete_the_unpaid: 8,
    operations.warn_of_ends: 4,
    operations.stop_the_expired: 8,
    operations.end_listings: 4,
    operations.sweep_offline: 16,
    machines.a_minute_passes: 12,
    operations.settle: 5,
    operations.checkpoint: 2,
    operations.restart_idle_jobs: 8,
    operations.flush_redis: 3,
    operations.redis_comes_or_goes: 3,
    operations.wait: 20,
}
PAUSES_SECONDS = (0.0, 0.0, 0.001, 0.2, 1.0, 3.0)
LATE_SECONDS = (*(0.0 for _ in range(18)), 0.01, 2.0)
"""How long ago a worker has read the clock when it comes to act: it had to wait for a lock."""
LOGGING: tuple[ModuleType, ...] = (clearing, stopping, idle_jobs, inventory, listing, offline, reports, running_out)
DEBT_GRACE_DAYS = 1 / 24
"""An hour: stories last for some hours."""


class StoryError(AssertionError):
    """A story that went wrong, told so that it can be told again."""


class _Log:
    """Stands in for a service's logger: what is logged as a failure must not stay unseen."""

    def __init__(self, failures: list[str]) -> None:
        self._failures = failures

    def exception(self, event: str, **facts: Any) -> None:
        """A caught failure."""
        self._failures.append(f"{event} {facts}\n{traceback.format_exc()}")

    def warning(self, event: str, *, exc_info: bool = False, **facts: Any) -> None:
        """A failure where it carries an exception."""
        if exc_info:
            self.exception(event, **facts)


def tell(seed: int, steps: int) -> World:
    """The story of this seed. Raises StoryError with all that is needed to see it again."""
    with _world(seed) as world:
        try:
            settle_in(world)
            for world.step in range(1, steps + 1):
                _step(world)
            calm_down(world)
        except Exception as error:
            raise StoryError(_report(world, steps, error)) from error
    return world


def _step(world: World) -> None:
    world.clock.advance(world.rng.choice(PAUSES_SECONDS))
    (action,) = world.rng.choices(_ACTIONS, cum_weights=_CUMULATED)
    late = 0.0 if action in ON_TIME else world.rng.choice(LATE_SECONDS)
    world.clock.advance(-late)
    action(world)
    world.check()
    world.clock.advance(late)


ON_TIME = {operations.wait, *(action for action in WEIGHTS if action.__module__ == machines.__name__)}
_ACTIONS = list(WEIGHTS)
_CUMULATED = [sum(list(WEIGHTS.values())[: n + 1]) for n in range(len(WEIGHTS))]


@contextmanager
def _world(seed: int) -> Iterator[World]:
    clock, logged = Clock(T0), list[str]()
    redis = VirtualRedis(presence.client(), clock)
    redis.flush()
    empty_database()
    with ExitStack() as stack:
        stack.enter_context(override_settings(DEBT_GRACE_DAYS=DEBT_GRACE_DAYS))
        watch = stack.enter_context(watching())
        world = World(seed, random.Random(seed), clock, redis, watch, logged)
        for module in (presence, wakeup, clearing_hint):
            stack.enter_context(patch.object(module, "client", lambda: redis))
        # Hints go out at once: another thread would do so at a moment of its own.
        stack.enter_context(patch.object(clearing_hint._herald, "want", clearing_hint.hint_send))
        for module in LOGGING:
            stack.enter_context(patch.object(module, "logger", _Log(logged)))
        stack.enter_context(patch.object(app, "send_task", lambda *_, **__: setattr(world, "hinted", True)))
        yield world


def _report(world: World, steps: int, error: Exception) -> str:
    lines = [
        f"seed {world.seed}, step {world.step} of {steps}: {type(error).__name__}: {error}",
        f"See it again: make simulate SEEDS={world.seed} STEPS={steps}",
        "The last actions:",
        *world.actions,
    ]
    return "\n".join(lines)
