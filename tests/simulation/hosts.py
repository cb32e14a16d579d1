"""What hosts do with the terms of their machines, and what becomes of the hardware."""

from datetime import timedelta

from django.db import transaction

from hosting import hooks
from hosting.locks import lock_machine
from hosting.models import Gpu
from hosting.services.idle_jobs import idle_job_remove, idle_job_set
from hosting.services.lifetimes import lifetimes_extend
from hosting.services.listing import listing_end, listing_set, min_bid_set
from tests.plumbing import market
from tests.simulation.agents import Agent
from tests.simulation.world import CENT, World


def _agent(world: World) -> Agent:
    return world.rng.choice(world.agents)


def set_idle_job(world: World) -> None:
    """A new job, a new price, or the same again."""
    agent, price = _agent(world), world.rng.choice((0, 1, 5, 12, 20)) * CENT
    args = [world.rng.choice(("mine", "mine", "fold"))]
    world.serve(
        f"machine {agent.machine_id} gets idle job {args} at {price}",
        lambda: idle_job_set(
            machine_id=agent.machine_id,
            host=agent.host,
            image="busybox",
            args=args,
            price_micros_per_gpu_hour=price,
            now=world.clock.now,
        ),
    )


def remove_idle_job(world: World) -> None:
    """And its floor."""
    agent, now = _agent(world), world.clock.now
    world.serve(
        f"machine {agent.machine_id} loses its idle job",
        lambda: idle_job_remove(machine_id=agent.machine_id, host=agent.host, now=now),
    )


def set_listing(world: World) -> None:
    """Other prices, another floor, another end; or back on the market."""
    agent, now = _agent(world), world.clock.now
    price = world.rng.choice((20, 30, 50, 80)) * CENT
    terms = market.terms(
        gpu_micros_per_hour=price,
        min_bid_micros_per_gpu_hour=world.rng.choice((0, 0, 5 * CENT, 15 * CENT, price)),
        min_gpus=world.rng.choice((1, 1, 1, 2)),
        end_at=now + timedelta(hours=world.rng.choice((0.2, 3, 24, 720, 720))),
    )
    world.serve(
        f"machine {agent.machine_id} is listed: {price}, floor {terms.min_bid_micros_per_gpu_hour}",
        lambda: listing_set(machine_id=agent.machine_id, host=agent.host, terms=terms, now=now),
    )


def end_listing(world: World) -> None:
    """Off the market."""
    agent, now = _agent(world), world.clock.now
    world.serve(
        f"machine {agent.machine_id} is unlisted",
        lambda: listing_end(machine_id=agent.machine_id, host=agent.host, now=now),
    )


def set_min_bid(world: World) -> None:
    """The floor alone."""
    agent, now, price = _agent(world), world.clock.now, world.rng.choice((0, 3, 8, 15, 20)) * CENT
    world.serve(
        f"machine {agent.machine_id} takes bids from {price} on",
        lambda: min_bid_set(machine_id=agent.machine_id, host=agent.host, micros_per_gpu_hour=price, now=now),
    )


def extend(world: World) -> None:
    """Longer lifetimes."""
    agent, now = _agent(world), world.clock.now
    end_at = now + timedelta(hours=world.rng.choice((1, 24, 900)))
    world.serve(
        f"machine {agent.machine_id} extends to {end_at:%d %H:%M}",
        lambda: lifetimes_extend(machine_id=agent.machine_id, host=agent.host, end_at=end_at, now=now),
    )


def gpu_breaks_or_heals(world: World) -> None:
    """Written and told as an inventory would."""
    agent = _agent(world)
    gpus = [gpu for gpu in world.rows.gpus.values() if gpu.machine_id == agent.machine_id]
    broken = [gpu for gpu in gpus if not gpu.usable]
    gpu = world.rng.choice(broken) if broken and world.rng.random() < 0.7 else world.rng.choice(gpus)
    world.serve(f"GPU {gpu.id} usable: {not gpu.usable}", lambda: gpu_set(world, gpu.id, healthy=not gpu.usable))


@transaction.atomic
def gpu_set(world: World, gpu_id: int, *, healthy: bool) -> None:
    """The row, and the market's look at it, in one transaction."""
    machine = lock_machine(world.rows.gpus[gpu_id].machine_id)
    Gpu.objects.filter(pk=gpu_id).update(unhealthy_reason="" if healthy else "fell off the bus")
    hooks.market().machine_changed(machine, world.clock.now)
