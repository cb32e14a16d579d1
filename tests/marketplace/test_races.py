"""Rivals at the same moment, each on a database connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from billing.selectors import ledger_check
from hosting.models import GpuClaim
from marketplace.errors import MarketError
from marketplace.models import Instance, Offer
from marketplace.services.bids import bid_change
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.rent import instance_rent
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


def test_bids_go_on_when_the_connection_was_lost() -> None:
    agent = market.listed_machine(gpus=1)
    client = market.user(dollars=10)
    wish = market.wish(bid_micros_per_hour=100_000)
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=wish, now=T0)
    for price in (110_000, 120_000):
        bid_change(instance_id=instance.pk, client=client, price_micros=price, now=T0)
        connection.close()
    instance.refresh_from_db()
    assert instance.bid_micros_per_hour == 120_000
