"""What bidding must not be good for: interrupting others, running and holding disks, all for nothing."""

import pytest

from billing.selectors import meter_total_micros
from marketplace.errors import MarketError
from marketplace.models import Instance, Notice
from marketplace.services.bids import bid_change
from marketplace.services.lifecycle import instance_destroy, instance_start, instance_stop
from tests.marketplace.bidding import CENT, after, bid, change, listed, spent, state
from tests.plumbing import market
from tests.plumbing.market import TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> TestAgent:
    return listed()


def test_a_bid_that_just_won_can_be_lowered_once_it_runs(agent: TestAgent) -> None:
    """Otherwise bidding up and down would interrupt others for nothing."""
    running = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    rival = bid(agent, 10 * CENT, 1, accepts_waiting=True)
    assert change(rival, 40 * CENT, 2) == 40 * CENT
    for _ in range(2):  # while it waits for the handover, and while it loads
        with pytest.raises(MarketError) as refused:
            change(rival, 20 * CENT, 3)
        assert (refused.value.code, refused.value.status) == ("bid_binding", 409)
        assert change(rival, 41 * CENT, 3) == 41 * CENT
        rival.refresh_from_db()
        bid_change(instance_id=rival.pk, client=rival.client, price_micros=41 * CENT, now=after(3))
        agent.report(after(4))
    agent.obey(after(5))
    agent.obey(after(6))
    assert state(rival) == "running"
    change(rival, 11 * CENT, 7)
    assert (state(rival), state(running)) == ("running", "outbid")


def test_who_lowers_its_own_bid_gets_no_long_grace(agent: TestAgent) -> None:
    lone = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    change(lone, 5 * CENT, 10)
    assert state(lone) == "outbid"
    (task,) = agent.report(after(11)).tasks
    assert (task.state, task.stop_grace_seconds) == ("stopped", 10)


def test_an_offer_that_lags_behind_rents_to_nobody_against_its_will(agent: TestAgent) -> None:
    """A rival's bid is committed but not taken in yet: the offer still names the old minimum."""
    rival = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    bid_change(instance_id=rival.pk, client=rival.client, price_micros=40 * CENT, now=after(1))
    with pytest.raises(MarketError) as refused:
        bid(agent, 20 * CENT, 2)
    assert refused.value.message.startswith("Your bid of $0.20 per hour would not run now: the minimum is $0.4")
    assert Instance.objects.count() == 1
    assert bid(agent, 20 * CENT, 3, accepts_waiting=True).state == "outbid"


def test_a_bid_that_waits_pays_for_its_disk_and_there_is_an_end_to_such_bids(agent: TestAgent) -> None:
    client = market.user(dollars=50)
    bid(agent, 40 * CENT, 0)
    waiting = [bid(agent, 10 * CENT, n, client=client, label=str(n), accepts_waiting=True) for n in range(8)]
    hour_later = meter_total_micros(f"instance:{waiting[0].pk}:storage", after(3600))
    assert (hour_later, spent(waiting[0], 3600)) == (1389, 0)
    with pytest.raises(MarketError) as refused:
        bid(agent, 10 * CENT, 9, client=client, label="more", accepts_waiting=True)
    assert refused.value.code == "too_many_waiting"
    assert bid(agent, 10 * CENT, 9, accepts_waiting=True).state == "outbid"


def test_the_client_is_told_once_a_minute_however_much_the_market_flaps(agent: TestAgent) -> None:
    low = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    for n in range(5):
        high = bid(agent, 20 * CENT, 60 + n, label=str(n))
        instance_destroy(instance_id=high.pk, actor=high.client, now=after(60.5 + n))
        agent.obey(after(60.6 + n))
    assert state(low) == "running"
    assert low.events.filter(to_state="outbid").count() == 5
    assert list(Notice.objects.filter(instance=low).order_by("pk").values_list("kind", flat=True)) == [
        "outbid",
        "resumed",
    ]


def test_starting_asks_for_the_credit_that_the_bid_needs(agent: TestAgent) -> None:
    client = market.user(dollars=1)
    instance = bid(agent, 10 * CENT, 0, client=client)
    agent.obey(after(0))
    instance_stop(instance_id=instance.pk, actor=client, now=after(1))
    agent.obey(after(2))
    market_price = 50 * CENT
    change(instance, market_price, 3)
    instance_start(instance_id=instance.pk, actor=client, now=after(4))
    instance_stop(instance_id=instance.pk, actor=client, now=after(5))
    other = market.listed_machine(gpus=1)
    bid(other, market_price, 6, client=client)
    with pytest.raises(MarketError) as refused:
        instance_start(instance_id=instance.pk, actor=client, now=after(7))
    assert refused.value.code == "no_credit"
