"""Bids of clients as the tests of bidding make them."""

from datetime import datetime, timedelta

from billing.selectors import meter_total_micros
from marketplace.models import Instance, Offer, User
from marketplace.services.bids import bid_change
from marketplace.services.clearing import dirty_clear
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

CENT = 10_000


def after(seconds: float) -> datetime:
    """So long after T0."""
    return T0 + timedelta(seconds=seconds)


def listed() -> TestAgent:
    """One GPU at half a dollar, no bid below ten cents."""
    return market.listed_machine(gpus=1, min_bid_micros_per_gpu_hour=10 * CENT)


def bid(
    agent: TestAgent, micros: int, at: float, *, gpus: int = 1, client: User | None = None, **values: object
) -> Instance:
    """Rent interruptible."""
    return instance_rent(
        client=client or market.user(dollars=50),
        offer_id=market.offer(agent, gpus).pk,
        request=market.wish(bid_micros_per_hour=micros, **values),
        now=after(at),
    )


def rent(agent: TestAgent, at: float, *, gpus: int = 1) -> Instance:
    """Rent on demand."""
    return instance_rent(
        client=market.user(dollars=50), offer_id=market.offer(agent, gpus).pk, request=market.wish(), now=after(at)
    )


def change(instance: Instance, micros: int | None, at: float) -> int:
    """Change the bid and let the auction take it in."""
    changed = bid_change(instance_id=instance.pk, client=instance.client, price_micros=micros, now=after(at))
    dirty_clear(now=lambda: after(at))
    return changed.micros_per_hour


def state(instance: Instance) -> str:
    """As it is now."""
    instance.refresh_from_db()
    return instance.state


def spent(instance: Instance, at: float) -> int:
    """Micro-dollars for GPU time until then."""
    return meter_total_micros(f"instance:{instance.pk}:gpu", after(at))


def min_bids(agent: TestAgent) -> dict[int, int | None]:
    """What the live offers say, by size."""
    live = Offer.objects.filter(machine=agent.machine, retired_at=None).order_by("num_gpus")
    return dict(live.values_list("num_gpus", "min_bid_micros_per_hour"))
