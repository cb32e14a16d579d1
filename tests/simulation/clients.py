"""What clients do."""

from django.db.models import QuerySet

from marketplace.domain.rent import RentRequest
from marketplace.models import Instance, Offer, User
from marketplace.services.bids import bid_change
from marketplace.services.lifecycle import (
    instance_destroy,
    instance_label,
    instance_reboot,
    instance_start,
    instance_stop,
)
from marketplace.services.rent import instance_rent
from tests.simulation.failure import must
from tests.simulation.rows import InstanceRow
from tests.simulation.world import World, grant

MANY_INSTANCES = 16


def _client(world: World) -> User:
    return world.rng.choice(world.clients)


def _offer(world: World) -> Offer | None:
    offers: QuerySet[Offer] = Offer.objects.order_by("pk")
    found = list(offers if world.rng.random() < 0.05 else offers.filter(retired_at=None))
    return world.rng.choice(found) if found else None


def _mine(world: World, *states: str) -> InstanceRow | None:
    """Any instance, mostly in one of these states."""
    known = [one for one in world.rows.instances.values() if one.state != "destroyed"]
    fitting = [one for one in known if one.state in states]
    pool = fitting if fitting and world.rng.random() < 0.9 else known
    return world.rng.choice(pool) if pool else None


def _owner(world: World, one: InstanceRow) -> User:
    return next(client for client in world.clients if client.pk == one.client_id)


def rent(world: World) -> None:
    """On demand."""
    _rent(world, None)


def rent_with_bid(world: World) -> None:
    """At the minimum, below, above, or senseless."""
    offer = _offer(world)
    if offer is not None:
        _rent(world, _price(world, offer.gpu_micros_per_hour, offer.min_bid_micros_per_hour), offer)


def _price(world: World, most: int, least: int | None) -> int:
    low = least or most // 3
    return world.rng.choice(
        (low, low, low + 1, max(low - 1, 1), low // 2 + 1, world.rng.randint(1_000, max(most, 1_001)), most, most + 1)
    )


def _rent(world: World, bid_micros: int | None, offer: Offer | None = None) -> None:
    live = sum(one.state != "destroyed" for one in world.rows.instances.values())
    if live >= MANY_INSTANCES:
        destroy(world)
        return
    offer = offer or _offer(world)
    if offer is None:
        return
    wish = RentRequest(
        image="ubuntu:22.04",
        disk_gb=world.rng.choice((10, 10, 10, 40)),
        mode=world.rng.choice(("ssh", "ssh", "args")),
        bid_micros_per_hour=bid_micros,
        accepts_waiting=world.rng.random() < 0.6,
        idempotency_key=f"{world.step}",
    )
    client = _client(world)
    world.last_rental = (client, offer.pk, wish)
    _send_rental(world)


def rent_again(world: World) -> None:
    """The same request as last time: the client has not heard the answer."""
    if world.last_rental is None:
        return
    client, offer_id, wish = world.last_rental
    there = set(_rented(client, offer_id, wish).values_list("pk", flat=True))
    _send_rental(world)
    if there:
        must(set(_rented(client, offer_id, wish).values_list("pk", flat=True)) == there, "a retry rented twice")


def _rented(client: User, offer_id: int, wish: RentRequest) -> QuerySet[Instance]:
    same = Instance.objects.filter(client=client, offer_id=offer_id, request_fingerprint=wish.fingerprint())
    return same.exclude(state__in=("destroying", "destroyed"))


def _send_rental(world: World) -> None:
    client, offer_id, wish = world.last_rental
    what = f"{client.email} rents offer {offer_id}, bid {wish.bid_micros_per_hour}, waits {wish.accepts_waiting}"
    made = world.serve(what, lambda: instance_rent(client=client, offer_id=offer_id, request=wish, now=world.clock.now))
    if made is not None:
        world.note(f"    instance {made.pk} is {made.state}")


def change_bid(world: World) -> None:
    """Of an interruptible instance, up, down, or to what wins."""
    bidding = [one for one in world.rows.instances.values() if one.bid is not None and one.state != "destroyed"]
    if not bidding:
        return
    one = world.rng.choice(bidding)
    listing = world.rows.listings[one.machine_id]
    price = None if world.rng.random() < 0.3 else _price(world, listing.price * one.num_gpus, one.bid)
    client = _owner(world, one)
    world.serve(
        f"instance {one.id} bids {price}",
        lambda: bid_change(instance_id=one.id, client=client, price_micros=price, now=world.clock.now),
    )


def stop(world: World) -> None:
    """Stop something that runs, loads or waits."""
    if one := _mine(world, "running", "loading", "scheduling", "outbid"):
        actor, now = _owner(world, one), world.clock.now
        world.serve(f"stop {one.id}", lambda: instance_stop(instance_id=one.id, actor=actor, now=now))


def start(world: World) -> None:
    """Start something that is stopped, or still stopping."""
    if one := _mine(world, "stopped", "stopping", "exited", "error"):
        actor, now = _owner(world, one), world.clock.now
        world.serve(f"start {one.id}", lambda: instance_start(instance_id=one.id, actor=actor, now=now))


def reboot(world: World) -> None:
    """Reboot something that runs."""
    if one := _mine(world, "running"):
        actor, now = _owner(world, one), world.clock.now
        world.serve(f"reboot {one.id}", lambda: instance_reboot(instance_id=one.id, actor=actor, now=now))


def destroy(world: World) -> None:
    """Destroy anything."""
    if one := _mine(world, "running", "stopped", "exited", "error", "outbid", "scheduling"):
        actor, now = _owner(world, one), world.clock.now
        world.serve(f"destroy {one.id}", lambda: instance_destroy(instance_id=one.id, actor=actor, now=now))


def label(world: World) -> None:
    """Name anything."""
    if one := _mine(world):
        actor, now = _owner(world, one), world.clock.now
        world.serve(f"label {one.id}", lambda: instance_label(instance_id=one.id, actor=actor, label="x", now=now))


def add_credit(world: World) -> None:
    """Somebody pays."""
    client = _client(world)
    world.serve(f"{client.email} gets credit", lambda: grant(world, client, world.rng.choice((1, 20))))
