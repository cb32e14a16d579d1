"""What the marketplace's own workers do, and what happens to time and Redis."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import redis

from billing.services import checkpoint_accounts, credit_warnings_send, settle_running
from hosting.gateways import presence
from hosting.services.idle_jobs import idle_jobs_restart
from hosting.services.listing import listings_expire
from hosting.services.offline import machines_sweep_offline
from marketplace.services.clearing import dirty_clear
from marketplace.services.credit import stop_exhausted
from marketplace.services.expiry import stop_expired
from marketplace.services.unpaid import delete_unpaid
from tests.simulation.world import World


def _sweep(world: World, name: str, sweep: Callable[..., Any]) -> None:
    now = world.clock.now
    world.serve(name, lambda: sweep(now=now), refusals=(redis.RedisError,))


def clear_marked(world: World) -> None:
    """The auction's worker."""
    world.hinted = False
    world.serve("dirty_clear", lambda: dirty_clear(now=lambda: world.clock.now))


def stop_the_exhausted(world: World) -> None:
    """Those without credit."""
    _sweep(world, "stop_exhausted", stop_exhausted)


def delete_the_unpaid(world: World) -> None:
    """Disks of those in debt for too long."""
    _sweep(world, "delete_unpaid", delete_unpaid)


def warn_of_ends(world: World) -> None:
    """Of credit, and of disks."""
    _sweep(world, "credit_warnings_send", credit_warnings_send)


def stop_the_expired(world: World) -> None:
    """Those whose lifetime is over."""
    _sweep(world, "stop_expired", stop_expired)


def end_listings(world: World) -> None:
    """Listings past their end."""
    _sweep(world, "listings_expire", listings_expire)


def sweep_offline(world: World) -> None:
    """Machines whose agents fell silent. When each was last heard is what their meters must end at."""
    world.books.silent_since = {} if world.redis.away else _last_heard(world)
    _sweep(world, "machines_sweep_offline", machines_sweep_offline)


def _last_heard(world: World) -> dict[int, datetime]:
    seen = {agent.machine_id: presence.last_seen(agent.machine_id) for agent in world.agents}
    return {machine_id: heard for machine_id, heard in seen.items() if heard is not None}


def settle(world: World) -> None:
    """Post what has accrued."""
    _sweep(world, "settle_running", settle_running)


def checkpoint(world: World) -> None:
    """Move the accounts' checkpoints on."""
    _sweep(world, "checkpoint_accounts", checkpoint_accounts)


def restart_idle_jobs(world: World) -> None:
    """Those that ended by themselves."""
    _sweep(world, "idle_jobs_restart", idle_jobs_restart)


def flush_redis(world: World) -> None:
    """Redis loses everything."""
    world.note("Redis is flushed")
    world.redis.flush()


def redis_comes_or_goes(world: World) -> None:
    """Redis is away for some steps."""
    world.redis.away = not world.redis.away and world.rng.random() < 0.3
    world.note(f"Redis away: {world.redis.away}")


def wait(world: World) -> None:
    """A while: less than a second or some hours."""
    seconds = world.rng.choice((0.001, 0.5, 2, 15, 30, 61, 300, 3_600, 6 * 3_600))
    world.clock.advance(seconds)
    world.note(f"{seconds} s pass")


ALL_SWEEPS = (
    clear_marked,
    stop_the_exhausted,
    delete_the_unpaid,
    warn_of_ends,
    stop_the_expired,
    end_listings,
    sweep_offline,
    restart_idle_jobs,
    settle,
)
