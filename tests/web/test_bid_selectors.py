"""What pages read about bids: exact, and as cheap for many instances as for one."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hosting.services.offline import machine_mark_offline
from marketplace import selectors
from marketplace.models import Instance, User
from marketplace.services.bids import bid_change
from marketplace.services.rent import instance_rent
from marketplace.web.instance_view import instance_views
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db

CENT = 10_000


def rent(agent: TestAgent, micros: int | None, gpus: int = 1, client: User | None = None) -> Instance:
    wish = market.wish(bid_micros_per_hour=micros, accepts_waiting=micros is not None)
    who = client or market.user(dollars=50)
    found = instance_rent(client=who, offer_id=market.offer(agent, gpus).pk, request=wish, now=T0)
    agent.obey(T0)
    found.refresh_from_db()
    return found


def test_the_least_winning_bid_is_what_bidding_the_minimum_bids(agent: TestAgent) -> None:
    mixed = [rent(agent, price * CENT, gpus) for price, gpus in ((20, 1), (50, 2), (15, 1), (18, 1), (60, 4))]
    least = selectors.least_winning_bids(mixed)
    assert list(least) == [instance.pk for instance in mixed]
    for instance in mixed:
        changed = bid_change(instance_id=instance.pk, client=instance.client, price_micros=None, now=T0)
        assert changed.micros_per_hour == least[instance.pk]
        bid_change(instance_id=instance.pk, client=instance.client, price_micros=instance.bid_micros_per_hour, now=T0)


def test_on_demand_and_out_of_reach_there_is_no_answer(agent: TestAgent) -> None:
    bid, fixed = rent(agent, 20 * CENT), rent(agent, None)
    assert list(selectors.least_winning_bids([bid, fixed])) == [bid.pk]
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=T0 + timedelta(minutes=2))
    assert selectors.least_winning_bids([bid, fixed]) == {}


def test_live_offers_are_found_by_machine_and_size(agent: TestAgent) -> None:
    other = market.listed_machine(gpus=1)
    wanted = {(agent.machine.pk, 2), (other.machine.pk, 1), (other.machine.pk, 2)}
    found = selectors.live_offers(wanted)
    assert {key: offer.pk for key, offer in found.items()} == {
        (agent.machine.pk, 2): market.offer(agent, 2).pk,
        (other.machine.pk, 1): market.offer(other, 1).pk,
    }


def test_many_instances_need_no_more_queries_than_two(agent: TestAgent) -> None:
    other = market.listed_machine(gpus=4)
    client = market.user(dollars=50)
    for _ in range(3):
        rent(agent, 20 * CENT, client=client)
        rent(other, 20 * CENT, client=client)
    every = list(selectors.instances_of(client))

    def queries(count: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            instance_views(every[:count], T0)
        return len(captured)

    assert queries(6) == queries(2)
