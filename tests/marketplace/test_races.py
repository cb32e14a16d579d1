"""Rivals at the same moment, each on a database connection of its own."""

import base64
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from billing.selectors import ledger_check
from hosting.models import GpuClaim
from marketplace.domain.rent import VolumeWish
from marketplace.errors import MarketError
from marketplace.models import DirtyMark, Instance, InstanceEvent, Offer
from marketplace.services.bids import bid_change
from marketplace.services.clearing import dirty_clear
from marketplace.services.keys import ssh_key_add
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.offers import disk_given
from marketplace.services.rent import instance_rent
from marketplace.services.volumes import volume_delete, volume_rent
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Run all at the same moment, each in a thread with its own connection; refusals come back as values."""
    gate = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            gate.wait()
            return work()
        except MarketError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_fifty_clients_rent_the_last_slice_and_one_gets_it() -> None:
    agent = market.listed_machine(gpus=1)
    offer = market.offer(agent)
    clients = [market.user(dollars=10) for _ in range(50)]
    results = at_once(
        [partial(instance_rent, client=client, offer_id=offer.pk, request=market.wish(), now=T0) for client in clients]
    )
    won = [r for r in results if isinstance(r, Instance)]
    lost = [r for r in results if isinstance(r, MarketError)]
    assert (len(won), len(lost)) == (1, 49)
    assert {(e.code, e.status) for e in lost} == {("no_such_ask", 410)}
    assert Instance.objects.count() == 1
    assert GpuClaim.objects.filter(released_at=None).count() == 1
    assert list(Offer.objects.filter(retired_at=None).values_list("num_gpus", "rentable")) == [(1, False)]
    assert ledger_check(T0) == []


def test_a_request_retried_while_the_first_is_still_running_rents_once() -> None:
    agent = market.listed_machine(gpus=1)
    offer = market.offer(agent)
    client = market.user(dollars=10)
    results = at_once(
        [lambda: instance_rent(client=client, offer_id=offer.pk, request=market.wish(), now=T0) for _ in range(10)]
    )
    assert {r.pk for r in results} == {Instance.objects.get().pk}


def test_volumes_and_instances_share_the_last_gigabytes() -> None:
    agent = market.listed_machine()
    offer_id = market.offer(agent, 4).pk
    clients = [market.user(dollars=100) for _ in range(6)]
    results = at_once(
        [
            *(partial(volume_rent, client=one, offer_id=offer_id, size_gb=400, label="", now=T0) for one in clients),
            partial(
                instance_rent, client=clients[0], offer_id=offer_id, request=market.wish(disk_gb=400, label="x"), now=T0
            ),
        ]
    )
    assert sum(not isinstance(one, MarketError) for one in results) == 2
    assert disk_given(agent.machine) == 800
    assert {one.code for one in results if isinstance(one, MarketError)} <= {"disk_too_large", "no_such_ask"}


def test_a_volume_is_deleted_or_attached() -> None:
    agent = market.listed_machine()
    client, offer_id = market.user(dollars=100), market.offer(agent).pk
    volume = volume_rent(client=client, offer_id=offer_id, size_gb=5, label="", now=T0)
    request = market.wish(volumes=(VolumeWish(path="/data", volume_id=volume.pk),))
    deleted, rented = at_once(
        [
            partial(volume_delete, user=client, volume_id=volume.pk, now=T0),
            partial(instance_rent, client=client, offer_id=offer_id, request=request, now=T0),
        ]
    )
    assert isinstance(deleted, MarketError) != isinstance(rented, MarketError)


def test_stop_and_destroy_at_once_leave_one_end() -> None:
    agent = market.listed_machine(gpus=1)
    client = market.user(dollars=10)
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    at_once(
        [lambda: instance_stop(instance_id=instance.pk, actor=client, now=T0)] * 5
        + [lambda: instance_destroy(instance_id=instance.pk, actor=client, now=T0)] * 5
    )
    agent.obey(T0)
    instance.refresh_from_db()
    assert instance.state == "destroyed"
    assert GpuClaim.objects.filter(released_at=None).count() == 0
    assert ledger_check(T0) == []


CENT = 10_000


def bidders(agent: market.TestAgent, count: int) -> list[Instance]:
    """Waiting bids of a cent each, of as many clients."""
    offer = market.offer(agent)
    wish = market.wish(bid_micros_per_hour=CENT, accepts_waiting=True, disk_gb=8)
    return [
        instance_rent(client=market.user(dollars=100), offer_id=offer.pk, request=wish, now=T0) for _ in range(count)
    ]


def winners(instances: list[Instance]) -> set[int]:
    return set(
        Instance.objects.filter(
            pk__in=[i.pk for i in instances], state__in=("loading", "scheduling", "running")
        ).values_list("pk", flat=True)
    )


@pytest.mark.parametrize("clearing_meanwhile", [False, True])
def test_fifty_bids_in_parallel_end_like_in_any_order(*, clearing_meanwhile: bool) -> None:
    agent = market.listed_machine(gpus=4)
    instances = bidders(agent, 50)
    agent.obey(T0)
    # More than the increment apart, so that it does not matter who ran when the next bid came.
    prices = {one.pk: int(CENT * 1.06 ** (n * 7 % 50 + 1)) for n, one in enumerate(instances)}

    def place(one: Instance) -> None:
        bid_change(instance_id=one.pk, client=one.client, price_micros=prices[one.pk], now=T0)
        if clearing_meanwhile:
            dirty_clear(now=lambda: T0)

    at_once([partial(place, one) for one in instances])
    dirty_clear(now=lambda: T0)
    best = sorted(prices, key=lambda pk: prices[pk], reverse=True)[:4]
    assert winners(instances) == set(best)
    assert not DirtyMark.objects.exists()
    in_force = dict(Instance.objects.values_list("pk", "gpu_micros_per_hour"))
    assert {pk: in_force[pk] for pk in prices} == prices
    assert ledger_check(T0) == []


def test_two_workers_clear_many_machines_and_each_once() -> None:
    agents = [market.listed_machine(gpus=1) for _ in range(6)]
    instances = [bidders(agent, 2)[1] for agent in agents]
    for agent in agents:
        agent.obey(T0)
    for one in instances:
        bid_change(instance_id=one.pk, client=one.client, price_micros=2 * CENT, now=T0)
    done = at_once([partial(dirty_clear, now=lambda: T0, batch=2)] * 4)
    assert sum(done) >= 6
    assert winners(instances) == {one.pk for one in instances}
    assert InstanceEvent.objects.filter(to_state="outbid", reason="outbid").count() == 6


def test_clients_who_displace_each_other_on_two_machines_do_not_deadlock() -> None:
    """Each transaction needs the accounts of both: whoever rents and whoever has to leave."""
    agents = [market.listed_machine(gpus=1) for _ in range(2)]
    ann, bob = market.user(dollars=900), market.user(dollars=900)
    wish = market.wish(bid_micros_per_hour=CENT)
    for agent, client in zip(agents, (ann, bob), strict=True):
        instance_rent(client=client, offer_id=market.offer(agent).pk, request=wish, now=T0)
        agent.obey(T0)
    rivals = zip(agents, (bob, ann), strict=True)
    results = at_once(
        [
            partial(instance_rent, client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
            for agent, client in rivals
        ]
    )
    assert [type(result) for result in results] == [Instance, Instance]
    assert Instance.objects.filter(state="outbid").count() == 2


def test_bids_go_on_when_the_connection_was_lost() -> None:
    agent = market.listed_machine(gpus=1)
    client = market.user(dollars=10)
    wish = market.wish(bid_micros_per_hour=100_000)
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=wish, now=T0)
    for price in (110_000, 120_000):
        bid_change(instance_id=instance.pk, client=client, price_micros=price, now=T0)
        connection.close()
    dirty_clear(now=lambda: T0)
    instance.refresh_from_db()
    assert instance.bid_micros_per_hour == 120_000


def key_line() -> str:
    """A public key that nobody has the other half of."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + secrets.token_bytes(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} ann@laptop"


def test_keys_and_rentals_on_the_same_machines_do_not_wait_for_each_other_in_a_circle() -> None:
    agents = [market.listed_machine(gpus=2) for _ in range(2)]
    clients = [market.user(dollars=900) for _ in range(4)]
    wish = market.wish(bid_micros_per_hour=CENT)
    for client in clients[:2]:
        for agent in agents:
            instance_rent(client=client, offer_id=market.offer(agent).pk, request=wish, now=T0)
    for agent in agents:
        agent.obey(T0)
    keys = [partial(ssh_key_add, user=client, text=key_line(), now=T0) for client in clients[:2] for _ in range(4)]
    rentals = [
        partial(instance_rent, client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
        for client, agent in zip(clients[2:], agents, strict=True)
    ]
    results = at_once([*keys, *rentals, *(partial(agent.report, T0) for agent in agents)])
    assert [result for result in results if isinstance(result, Exception)] == []
