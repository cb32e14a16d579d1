"""Interruptible instances through the services, with an agent that lives in the test."""

import pytest
from django.db import transaction

from billing.selectors import ledger_check
from hosting import hooks
from hosting.locks import lock_machine
from hosting.models import Gpu, GpuClaim, Task
from hosting.services.listing import listing_end, listing_set
from hosting.services.offline import machine_mark_offline
from marketplace.domain.bids import BINDING
from marketplace.errors import MarketError
from marketplace.models import AuctionRound, DirtyMark
from marketplace.selectors import instances_of, instances_with_min_bids
from marketplace.services import clearing
from marketplace.services.bids import bid_change
from marketplace.services.clearing import dirty_clear
from marketplace.services.lifecycle import instance_destroy, instance_start, instance_stop
from marketplace.services.placement import WAITS_FOR_ITS_BID
from marketplace.services.replay import round_holds
from tests.marketplace.bidding import CENT, after, bid, change, listed, min_bids, rent, spent, state
from tests.plumbing import market
from tests.plumbing.market import TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> TestAgent:
    return listed()


def test_the_higher_bid_takes_the_gpu_and_the_loser_keeps_its_disk_and_comes_back(agent: TestAgent) -> None:
    low = bid(agent, 10 * CENT, 0)
    assert low.state == "loading"
    agent.obey(after(0))
    high = bid(agent, 21 * CENT, 3600)
    assert (high.state, state(low)) == ("scheduling", "outbid")
    assert low.status_message == "Outbid by a higher bid of $0.21 per GPU and hour."
    (leaving, coming) = agent.report(after(3601)).tasks
    assert (leaving.state, leaving.stop_grace_seconds, leaving.notice) == ("stopped", 30, low.status_message)
    assert (coming.state, coming.run_generation) == ("stopped", 0)
    agent.obey(after(3602))
    assert state(high) == "loading"
    agent.obey(after(3603))
    assert (state(high), state(low)) == ("running", "outbid")

    change(low, 23 * CENT, 7203)
    assert (state(high), state(low)) == ("outbid", "scheduling")
    agent.obey(after(7204))
    agent.obey(after(7205))
    assert (state(high), state(low)) == ("outbid", "running")
    assert spent(low, 3600) == 10 * CENT
    assert spent(low, 7205) == 10 * CENT
    assert spent(low, 7205 + 3600) == 33 * CENT
    assert spent(high, 99_999) == 21 * CENT
    assert [(e.to_state, e.reason) for e in high.events.filter(kind="state").order_by("pk")][-2:] == [
        ("running", "started"),
        ("outbid", "outbid"),
    ]
    assert ledger_check(after(20_000)) == []


def test_an_increment_protects_what_runs_from_cents(agent: TestAgent) -> None:
    running = bid(agent, 20 * CENT, 0)
    agent.obey(after(0))
    assert min_bids(agent) == {1: 210_001}
    with pytest.raises(MarketError) as refused:
        bid(agent, 210_000, 1)
    assert (refused.value.code, refused.value.field) == ("invalid_price", "price")
    assert "the minimum is $0.210001" in refused.value.message
    waiting = bid(agent, 210_000, 2, accepts_waiting=True)
    assert (waiting.state, waiting.status_message) == (
        "outbid",
        WAITS_FOR_ITS_BID,
    )
    assert state(running) == "running"
    assert change(waiting, None, 3) == 210_001
    assert (state(waiting), state(running)) == ("scheduling", "outbid")


def test_a_bid_below_the_floor_waits_until_the_floor_falls(agent: TestAgent) -> None:
    low = bid(agent, 5 * CENT, 0, accepts_waiting=True)
    assert low.status_message == WAITS_FOR_ITS_BID
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(), now=after(1))
    assert state(low) == "loading"
    agent.obey(after(2))
    terms = market.terms(min_bid_micros_per_gpu_hour=6 * CENT)
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=terms, now=after(3))
    assert state(low) == "outbid"
    assert low.status_message == "The host's minimum bid is now $0.06 per GPU and hour."


def test_nobody_pays_more_than_the_on_demand_price(agent: TestAgent) -> None:
    with pytest.raises(MarketError, match="Rent on demand instead"):
        bid(agent, 50 * CENT + 1, 0)
    running = bid(agent, 50 * CENT, 0)
    with pytest.raises(MarketError, match="Rent on demand instead"):
        change(running, 50 * CENT + 1, 1)
    with pytest.raises(MarketError, match=r"at least \$0.001"):
        change(running, 999, 2)
    assert state(running) == "loading"
    assert running.bid_micros_per_hour == 50 * CENT


def test_on_demand_takes_what_it_needs_and_no_more_and_gives_it_back() -> None:
    agent = market.listed_machine(gpus=4)
    bids = [bid(agent, price * CENT, n) for n, price in enumerate((10, 20, 30, 40))]
    agent.obey(after(5))
    assert [state(b) for b in bids] == ["running"] * 4
    two = rent(agent, 10, gpus=2)
    assert [state(b) for b in bids] == ["outbid", "outbid", "running", "running"]
    assert bids[0].status_message == "An on-demand rental took the GPUs."
    assert two.state == "scheduling"
    agent.obey(after(11))
    agent.obey(after(12))
    assert state(two) == "running"
    assert GpuClaim.objects.filter(released_at=None).count() == 4
    instance_destroy(instance_id=two.pk, actor=two.client, now=after(20))
    agent.obey(after(21))
    agent.obey(after(22))
    assert [state(b) for b in bids] == ["running"] * 4
    two_more = [rent(agent, 30, gpus=2), rent(agent, 31, gpus=2)]
    assert [state(b) for b in bids] == ["outbid"] * 4
    assert min_bids(agent) == {1: None, 2: None, 4: None}
    assert [one.state for one in two_more] == ["scheduling", "scheduling"]


def test_bids_for_different_sizes_compete_by_what_they_pay_together() -> None:
    agent = market.listed_machine(gpus=4)
    small = [bid(agent, price * CENT, n) for n, price in enumerate((10, 12, 14))]
    agent.obey(after(3))
    assert min_bids(agent) == {1: 1_000, 2: 105_001, 4: 378_001}
    whole = bid(agent, 378_001, 5, gpus=4)
    assert [state(b) for b in small] == ["outbid"] * 3
    assert small[0].status_message == "Outbid by a bid of $0.378001 per hour for 4 GPUs ($0.0945 per GPU and hour)."
    assert min_bids(agent)[4] == 378_002, "what has not started yet has no margin"
    agent.obey(after(5))
    agent.obey(after(5))
    assert min_bids(agent)[4] == 378_001 * 105 // 100 + 1
    instance_stop(instance_id=whole.pk, actor=whole.client, now=after(6))
    assert state(whole) == "stopping"
    assert [state(b) for b in small] == ["scheduling"] * 3
    agent.obey(after(7))
    assert [state(b) for b in small] == ["loading"] * 3


def test_a_stopped_bid_takes_no_part_until_it_is_started(agent: TestAgent) -> None:
    first = bid(agent, 20 * CENT, 0)
    agent.obey(after(0))
    instance_stop(instance_id=first.pk, actor=first.client, now=after(10))
    agent.obey(after(11))
    second = bid(agent, 10 * CENT, 12)
    agent.obey(after(13))
    assert change(first, 30 * CENT, 14) == 30 * CENT
    assert (state(first), state(second)) == ("stopped", "running")
    started = instance_start(instance_id=first.pk, actor=first.client, now=after(15))
    assert (started.state, state(second)) == ("scheduling", "outbid")
    agent.obey(after(16))
    agent.obey(after(17))
    assert state(first) == "running"
    assert spent(first, 17 + 3600) == spent(first, 17) + 30 * CENT


def test_an_outbid_instance_can_be_stopped_and_destroyed(agent: TestAgent) -> None:
    low = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    bid(agent, 20 * CENT, 1)
    instance_stop(instance_id=low.pk, actor=low.client, now=after(2))
    assert state(low) == "stopping"
    agent.obey(after(3))
    assert state(low) == "stopped"
    instance_destroy(instance_id=low.pk, actor=low.client, now=after(4))
    agent.obey(after(5))
    assert state(low) == "destroyed"


def test_winning_back_before_the_container_has_ended_starts_it_where_it_is(agent: TestAgent) -> None:
    low = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    high = bid(agent, 20 * CENT, 1)
    instance_destroy(instance_id=high.pk, actor=high.client, now=after(2))
    assert state(low) == "loading"
    task = next(t for t in agent.report(after(3)).tasks if t.task_id == low.task_id)
    assert (task.state, task.run_generation, task.notice) == ("running", 2, "")


def test_a_repeated_bid_is_a_retry_for_a_while_and_a_second_instance_later(agent: TestAgent) -> None:
    client = market.user(dollars=50)
    first = bid(agent, 10 * CENT, 0, client=client)
    assert bid(agent, 10 * CENT, 200, client=client).pk == first.pk
    second = bid(agent, 10 * CENT, 301, client=client, accepts_waiting=True)
    assert second.pk != first.pk
    keyed = bid(agent, 10 * CENT, 302, client=client, accepts_waiting=True, idempotency_key="a")
    assert bid(agent, 10 * CENT, 9000, client=client, accepts_waiting=True, idempotency_key="a").pk == keyed.pk
    assert bid(agent, 10 * CENT, 9001, client=client, accepts_waiting=True, idempotency_key="b").pk != keyed.pk


def test_repeating_the_same_bid_change_does_nothing(agent: TestAgent) -> None:
    running = bid(agent, 10 * CENT, 0)
    bid_change(instance_id=running.pk, client=running.client, price_micros=12 * CENT, now=after(1))
    bid_change(instance_id=running.pk, client=running.client, price_micros=12 * CENT, now=after(2))
    dirty_clear(now=lambda: after(3))
    bid_change(instance_id=running.pk, client=running.client, price_micros=12 * CENT, now=after(4))
    dirty_clear(now=lambda: after(4))
    running.refresh_from_db()
    assert running.bid_placed_at == after(1)
    assert running.events.filter(kind="bid").count() == 1


def test_a_bid_is_told_at_once_and_counts_from_the_clearing_that_takes_it_in(agent: TestAgent) -> None:
    running = bid(agent, 10 * CENT, 0)
    for at, price in ((1, 30 * CENT), (2, 12 * CENT)):
        agent.obey(after(0))
        agent.obey(after(0))
        bid_change(instance_id=running.pk, client=running.client, price_micros=price, now=after(at))
        (shown,) = instances_with_min_bids(instances_of(running.client))
        assert (shown.bid_newest_micros, shown.bid_micros_per_hour) == (price, 10 * CENT)
    dirty_clear(now=lambda: after(3))
    running.refresh_from_db()
    assert (running.bid_micros_per_hour, running.gpu_micros_per_hour) == (12 * CENT, 12 * CENT)
    assert list(running.events.filter(kind="bid").values_list("message", "at")) == [
        ("Bid changed to $0.12 per hour.", after(2))
    ], "what was overtaken before the auction saw it never counted"


def test_the_least_winning_bid_knows_bids_that_are_on_their_way(agent: TestAgent) -> None:
    bid(agent, 30 * CENT, 0)
    waiting, rival = (bid(agent, 11 * CENT, n, accepts_waiting=True) for n in (1, 2))
    bid_change(instance_id=rival.pk, client=rival.client, price_micros=40 * CENT, now=after(3))
    assert change(waiting, None, 4) == 40 * CENT + 1


def test_a_lower_bid_that_crosses_with_its_own_start_is_refused_after_all(agent: TestAgent) -> None:
    running = bid(agent, 20 * CENT, 0)
    agent.obey(after(0))
    agent.obey(after(0))
    waiting = bid(agent, 15 * CENT, 1, accepts_waiting=True)
    change(waiting, 25 * CENT, 2)
    assert (state(waiting), state(running)) == ("scheduling", "outbid")
    DirtyMark.objects.create(
        machine=agent.machine, marked_at=after(2), instance_id=waiting.pk, bid_micros_per_hour=10 * CENT
    )
    dirty_clear(now=lambda: after(3))
    assert (state(waiting), waiting.bid_micros_per_hour) == ("scheduling", 25 * CENT)
    refusal = waiting.events.get(kind="bid_refused")
    assert (refusal.reason, refusal.message) == ("bid_binding", BINDING)


def test_a_bid_belongs_to_its_client_and_to_interruptible_instances(agent: TestAgent) -> None:
    mine = bid(agent, 10 * CENT, 0)
    for price in (20 * CENT, None):
        with pytest.raises(MarketError) as refused:
            bid_change(instance_id=mine.pk, client=market.user(), price_micros=price, now=after(1))
        assert (refused.value.code, refused.value.status) == ("no_such_instance", 404)
    fixed = rent(agent, 1)
    for price in (20 * CENT, None):
        with pytest.raises(MarketError, match="has no bid"):
            bid_change(instance_id=fixed.pk, client=fixed.client, price_micros=price, now=after(2))
    with pytest.raises(MarketError) as refused:
        change(mine, None, 3)
    assert refused.value.code == "no_winning_bid"
    instance_destroy(instance_id=mine.pk, actor=mine.client, now=after(4))
    with pytest.raises(MarketError, match="being destroyed"):
        change(mine, 20 * CENT, 5)


def test_bids_leave_the_offer_on_the_market(agent: TestAgent) -> None:
    offer = market.offer(agent)
    bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    again = market.offer(agent)
    assert (again.pk, again.rentable, again.min_bid_micros_per_hour) == (offer.pk, True, 105_001)
    assert again.disk_space_gb == offer.disk_space_gb - 10


def test_a_machine_out_of_reach_is_left_as_it_is_until_it_is_back(agent: TestAgent) -> None:
    low = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    waiting = bid(agent, 10 * CENT, 1, accepts_waiting=True)
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=after(1), now=after(62))
    change(waiting, 40 * CENT, 63)
    assert (state(low), state(waiting)) == ("running", "outbid")
    assert min_bids(agent) == {1: None}
    agent.report(after(100))
    assert (state(low), state(waiting)) == ("outbid", "scheduling")


def test_a_gpu_that_vanishes_moves_its_bid_to_another() -> None:
    agent = market.listed_machine(gpus=2)
    lone = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    held = GpuClaim.objects.get(released_at=None).gpu
    held.unhealthy_reason = "fell off the bus"
    held.save()
    agent.machine.refresh_from_db()
    listing_end(machine_id=agent.machine.pk, host=agent.machine.host, now=after(1))
    assert (state(lone), lone.status_message) == ("outbid", "A GPU of the machine became unusable; it moves to others.")
    agent.obey(after(2))
    assert state(lone) == "loading"
    assert GpuClaim.objects.get(released_at=None).gpu_id != held.pk


def test_every_decision_can_be_replayed_from_its_record(agent: TestAgent) -> None:
    low = bid(agent, 10 * CENT, 0)
    agent.obey(after(0))
    high = bid(agent, 20 * CENT, 1)
    last = AuctionRound.objects.latest("pk")
    assert last.displaced == [low.pk]
    assert list(last.runs) == [str(high.pk)]
    assert {claim["instance"]: claim["micros_per_hour"] for claim in last.claims} == {
        low.pk: 10 * CENT,
        high.pk: 20 * CENT,
    }
    assert last.policy == {"increment_bps": 500, "floor": 10 * CENT}
    assert AuctionRound.objects.count() == 2
    assert all(round_holds(played) for played in AuctionRound.objects.all())
    last.claims[0]["micros_per_hour"] *= 9
    assert not round_holds(last)


def test_a_machine_that_can_not_be_cleared_holds_up_no_other(agent: TestAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    other_agent = market.listed_machine(gpus=1)
    stuck, other = bid(agent, 10 * CENT, 0), bid(other_agent, 10 * CENT, 0)
    for one in (stuck, other):
        bid_change(instance_id=one.pk, client=one.client, price_micros=12 * CENT, now=after(1))

    apply = clearing._apply

    def fails_for_one(cleared: list[clearing.Cleared], *rest: object) -> object:
        if any(one.facts.machine_id == agent.machine.pk for one in cleared):
            raise ValueError("broken")
        return apply(cleared, *rest)  # type: ignore[arg-type]  # passes on what it was given

    monkeypatch.setattr(clearing, "_apply", fails_for_one)
    assert dirty_clear(now=lambda: after(2)) == 1
    assert list(DirtyMark.objects.values_list("machine_id", flat=True)) == [agent.machine.pk]
    other.refresh_from_db()
    assert other.gpu_micros_per_hour == 12 * CENT
    monkeypatch.undo()
    assert dirty_clear(now=lambda: after(3)) == 1
    stuck.refresh_from_db()
    assert stuck.gpu_micros_per_hour == 12 * CENT
    assert not Task.objects.filter(desired_state="stopped").exists()


def test_the_minimum_is_what_wins_against_those_who_just_started(agent: TestAgent) -> None:
    running = bid(agent, 20 * CENT, 0)
    assert running.state == "loading"
    assert min_bids(agent) == {1: 210_001}
    change(running, 30 * CENT, 1)
    assert min_bids(agent) == {1: 315_001}

    lone = market.listed_machine(gpus=2)
    waiting = bid(lone, 20 * CENT, 0, gpus=2)
    lone.obey(after(1))
    rent(lone, 2)
    assert state(waiting) == "outbid"
    lone.obey(after(3))
    lone.obey(after(4))
    starting = bid(lone, 20 * CENT, 5)
    assert starting.state == "loading"
    change(starting, 25 * CENT, 6)
    assert min_bids(lone) == {1: 262_501, 2: None}


def test_a_bid_that_has_to_leave_a_broken_gpu_for_another_is_not_outbid() -> None:
    agent = market.listed_machine(gpus=2)
    moving = bid(agent, 20 * CENT, 0)
    agent.obey(after(1))
    with transaction.atomic():
        broken = moving.task.gpu_claims.get(released_at=None).gpu
        Gpu.objects.filter(pk=broken.pk).update(unhealthy_reason="fell off the bus")
        hooks.market().machine_changed(lock_machine(agent.machine.pk), after(2))
    assert dirty_clear(now=lambda: after(2)) == 1
    assert (state(moving), moving.status_message) == (
        "scheduling",
        "Its GPUs are being handed over; it starts in a moment.",
    )
    agent.obey(after(3))
    agent.obey(after(4))
    assert state(moving) == "running"
    assert moving.task.gpu_claims.get(released_at=None).gpu != broken
