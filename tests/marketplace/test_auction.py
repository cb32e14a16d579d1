"""Properties of the auction, against a brute-force optimum."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.domain.auction import BPS, Claim, Kind, Policy, clear
from tests.plumbing.market import T0

NEWCOMER = 99
Market = tuple[list[int], list[Claim], Policy]


def bid(claim_id: int, num_gpus: int, price: int, holds: Sequence[int] = (), at: int = 0) -> Claim:
    return Claim(
        claim_id=claim_id,
        kind=Kind.BID,
        num_gpus=num_gpus,
        placed_at=T0 + timedelta(seconds=at),
        price=price,
        holds=frozenset(holds),
    )


def on_demand(claim_id: int, num_gpus: int, holds: Sequence[int] = (), at: int = 0) -> Claim:
    return replace(bid(claim_id, num_gpus, 0, holds, at), kind=Kind.ON_DEMAND)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    gpus = list(range(draw(st.integers(1, 8))))
    free, claims = list(gpus), []
    for number in range(1, draw(st.integers(0, 7)) + 1):
        size = draw(st.integers(1, len(gpus)))
        holds: list[int] = []
        if draw(st.booleans()) and len(free) >= size:
            holds, free = free[:size], free[size:]
        at = draw(st.integers(0, 3))
        price = draw(st.integers(1, 40))
        claims.append(draw(st.sampled_from([bid(number, size, price, holds, at), on_demand(number, size, holds, at)])))
    policy = Policy(increment_bps=draw(st.sampled_from([0, 500, 2000])), floor=draw(st.integers(0, 6)))
    return gpus, claims, policy


def worth(claims: Sequence[Claim], policy: Policy) -> int:
    return sum(c.price * (BPS + (policy.increment_bps if c.holds else 0)) for c in claims)


def capacity_for_bids(market: Market) -> int:
    gpus, claims, policy = market
    runs = clear(gpus, claims, policy).runs
    return len(gpus) - sum(c.num_gpus for c in claims if c.kind is Kind.ON_DEMAND and c.claim_id in runs)


@settings(max_examples=1000)
@given(markets())
def test_no_gpu_is_given_twice_and_everyone_gets_what_it_asked(market: Market) -> None:
    gpus, claims, policy = market
    outcome = clear(gpus, claims, policy)
    given_out = [gpu for held in outcome.runs.values() for gpu in held]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= set(gpus)
    sizes = {c.claim_id: c.num_gpus for c in claims}
    assert all(len(held) == sizes[claim_id] for claim_id, held in outcome.runs.items())
    assert outcome.displaced == {c.claim_id for c in claims if c.holds} - set(outcome.runs)


@settings(max_examples=1000)
@given(markets())
def test_the_bids_that_run_are_worth_as_much_as_any_that_fit(market: Market) -> None:
    gpus, claims, policy = market
    outcome, room = clear(gpus, claims, policy), capacity_for_bids(market)
    bids = [c for c in claims if c.kind is Kind.BID and c.price >= policy.floor * c.num_gpus]
    fitting = (
        chosen
        for count in range(len(bids) + 1)
        for chosen in itertools.combinations(bids, count)
        if sum(c.num_gpus for c in chosen) <= room
    )
    running = [c for c in claims if c.kind is Kind.BID and c.claim_id in outcome.runs]
    assert worth(running, policy) == max(worth(chosen, policy) for chosen in fitting)


@settings(max_examples=500)
@given(markets(), st.randoms())
def test_the_order_of_the_claims_does_not_matter(market: Market, random: Random) -> None:
    gpus, claims, policy = market
    shuffled = list(claims)
    random.shuffle(shuffled)
    assert clear(gpus, shuffled, policy) == clear(gpus, claims, policy)


@settings(max_examples=1000)
@given(markets())
def test_a_quote_wins_and_a_micro_dollar_less_does_not(market: Market) -> None:
    gpus, claims, policy = market
    for size, quote in clear(gpus, claims, policy).quotes.items():
        if quote is None:
            assert size > capacity_for_bids(market)
            continue
        assert NEWCOMER in clear(gpus, [*claims, bid(NEWCOMER, size, quote, at=9)], policy).runs
        if quote > 1:
            assert NEWCOMER not in clear(gpus, [*claims, bid(NEWCOMER, size, quote - 1, at=9)], policy).runs


@settings(max_examples=500)
@given(markets(), st.integers(1, 20))
def test_raising_a_winning_bid_never_makes_it_lose(market: Market, more: int) -> None:
    gpus, claims, policy = market
    runs = clear(gpus, claims, policy).runs
    for claim in (c for c in claims if c.kind is Kind.BID and c.claim_id in runs):
        raised = [replace(c, price=c.price + more) if c is claim else c for c in claims]
        assert claim.claim_id in clear(gpus, raised, policy).runs


@settings(max_examples=500)
@given(markets())
def test_on_demand_contracts_that_run_are_never_displaced(market: Market) -> None:
    gpus, claims, policy = market
    runs = clear(gpus, claims, policy).runs
    for claim in (c for c in claims if c.kind is Kind.ON_DEMAND and c.holds):
        assert runs[claim.claim_id] == claim.holds


@settings(max_examples=500)
@given(markets())
def test_waiting_on_demand_contracts_start_in_the_order_they_asked(market: Market) -> None:
    gpus, claims, policy = market
    runs = clear(gpus, claims, policy).runs
    waiting = [c for c in claims if c.kind is Kind.ON_DEMAND and not c.holds]
    for left_out in (c for c in waiting if c.claim_id not in runs):
        assert left_out.num_gpus > capacity_for_bids(market)
        for other in (c for c in waiting if c.claim_id in runs and c.num_gpus >= left_out.num_gpus):
            assert (other.placed_at, other.claim_id) < (left_out.placed_at, left_out.claim_id)


@settings(max_examples=500)
@given(markets())
def test_clearing_again_changes_nothing(market: Market) -> None:
    gpus, claims, policy = market
    first = clear(gpus, claims, policy)
    after = [replace(c, holds=first.runs.get(c.claim_id, frozenset())) for c in claims]
    again = clear(gpus, after, policy)
    assert (again.runs, again.displaced) == (first.runs, frozenset())


def test_the_higher_bid_runs_once_it_beats_the_margin() -> None:
    policy = Policy(increment_bps=500)
    running = bid(1, 1, 100_000, holds=[0])
    assert clear([0], [running], policy).quotes == {1: 105_001}
    assert set(clear([0], [running, bid(2, 1, 105_000)], policy).runs) == {1}
    outcome = clear([0], [running, bid(2, 1, 105_001)], policy)
    assert (outcome.runs, outcome.displaced) == ({2: frozenset({0})}, frozenset({1}))


def test_bids_of_different_sizes_compete_by_what_they_pay_together() -> None:
    claims = [bid(1, 2, 100, at=1), bid(2, 1, 60, at=2), bid(3, 1, 45, at=3)]
    assert set(clear([0, 1], claims, Policy()).runs) == {2, 3}
    assert set(clear([0, 1], [*claims, bid(4, 2, 106, at=4)], Policy()).runs) == {4}


@pytest.mark.parametrize(("floor", "runs"), [(50, {1}), (51, set())])
def test_a_bid_below_the_floor_never_runs(floor: int, runs: set[int]) -> None:
    assert set(clear([0, 1], [bid(1, 2, 100)], Policy(floor=floor)).runs) == runs


def test_a_returning_contract_gets_its_old_gpus_where_free() -> None:
    back = replace(on_demand(1, 2), prefers=frozenset({2, 3}))
    assert clear([0, 1, 2, 3], [back], Policy()).runs == {1: frozenset({2, 3})}
    assert clear([0, 1, 3], [back], Policy()).runs == {1: frozenset({0, 3})}
