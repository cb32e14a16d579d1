"""Properties of the auction, against a brute-force optimum."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain.money import exact_dollars
from marketplace.domain.assignment import Surroundings, assign
from marketplace.domain.auction import BPS, Claim, Kind, Outcome, Policy, clear, quote_for
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
    winners = clear(gpus, claims, policy).winner_ids
    return len(gpus) - sum(c.num_gpus for c in claims if c.kind is Kind.ON_DEMAND and c.claim_id in winners)


def runs_of(gpus: Sequence[int], outcome: Outcome, around: Surroundings | None = None) -> dict[int, frozenset[int]]:
    return assign(gpus, outcome.winners, around or Surroundings())


@settings(max_examples=1000)
@given(markets())
def test_no_gpu_is_given_twice_and_everyone_gets_what_it_asked(market: Market) -> None:
    gpus, claims, policy = market
    outcome = clear(gpus, claims, policy)
    runs = runs_of(gpus, outcome)
    assert set(runs) == outcome.winner_ids
    given_out = [gpu for held in runs.values() for gpu in held]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= set(gpus)
    sizes = {c.claim_id: c.num_gpus for c in claims}
    assert all(len(held) == sizes[claim_id] for claim_id, held in runs.items())
    assert outcome.displaced == {c.claim_id for c in claims if c.holds} - outcome.winner_ids
    assert all(runs[c.claim_id] == c.holds for c in outcome.winners if c.holds)


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
    running = [c for c in claims if c.kind is Kind.BID and c.claim_id in outcome.winner_ids]
    assert worth(running, policy) == max(worth(chosen, policy) for chosen in fitting)


@settings(max_examples=500)
@given(markets(), st.randoms())
def test_the_order_of_the_claims_does_not_matter(market: Market, random: Random) -> None:
    gpus, claims, policy = market
    shuffled = list(claims)
    random.shuffle(shuffled)
    first, second = clear(gpus, claims, policy), clear(gpus, shuffled, policy)
    assert (first.winner_ids, first.displaced, first.quotes) == (second.winner_ids, second.displaced, second.quotes)


@settings(max_examples=1000)
@given(markets())
def test_a_quote_wins_and_a_micro_dollar_less_does_not(market: Market) -> None:
    gpus, claims, policy = market
    for size, quote in clear(gpus, claims, policy).quotes.items():
        if quote is None:
            assert size > capacity_for_bids(market)
            continue
        assert NEWCOMER in clear(gpus, [*claims, bid(NEWCOMER, size, quote, at=9)], policy).winner_ids
        if quote > 1:
            assert NEWCOMER not in clear(gpus, [*claims, bid(NEWCOMER, size, quote - 1, at=9)], policy).winner_ids


@settings(max_examples=500)
@given(markets(), st.integers(1, 20))
def test_raising_a_winning_bid_never_makes_it_lose(market: Market, more: int) -> None:
    gpus, claims, policy = market
    winners = clear(gpus, claims, policy).winner_ids
    for claim in (c for c in claims if c.kind is Kind.BID and c.claim_id in winners):
        raised = [replace(c, price=c.price + more) if c is claim else c for c in claims]
        assert claim.claim_id in clear(gpus, raised, policy).winner_ids


@settings(max_examples=500)
@given(markets())
def test_on_demand_contracts_that_run_are_never_displaced(market: Market) -> None:
    gpus, claims, policy = market
    runs = runs_of(gpus, clear(gpus, claims, policy))
    for claim in (c for c in claims if c.kind is Kind.ON_DEMAND and c.holds):
        assert runs[claim.claim_id] == claim.holds


@settings(max_examples=500)
@given(markets())
def test_waiting_on_demand_contracts_start_in_the_order_they_asked(market: Market) -> None:
    gpus, claims, policy = market
    runs = clear(gpus, claims, policy).winner_ids
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
    runs = runs_of(gpus, first)
    after = [replace(c, holds=runs.get(c.claim_id, frozenset())) for c in claims]
    again = clear(gpus, after, policy)
    assert (runs_of(gpus, again), again.displaced) == (runs, frozenset())


def test_the_higher_bid_runs_once_it_beats_the_margin() -> None:
    policy = Policy(increment_bps=500)
    running = bid(1, 1, 100_000, holds=[0])
    assert clear([0], [running], policy).quotes == {1: 105_001}
    assert clear([0], [running, bid(2, 1, 105_000)], policy).winner_ids == {1}
    outcome = clear([0], [running, bid(2, 1, 105_001)], policy)
    assert (runs_of([0], outcome), outcome.displaced) == ({2: frozenset({0})}, frozenset({1}))


def test_bids_of_different_sizes_compete_by_what_they_pay_together() -> None:
    claims = [bid(1, 2, 100, at=1), bid(2, 1, 60, at=2), bid(3, 1, 45, at=3)]
    assert clear([0, 1], claims, Policy()).winner_ids == {2, 3}
    assert clear([0, 1], [*claims, bid(4, 2, 106, at=4)], Policy()).winner_ids == {4}


@pytest.mark.parametrize(("floor", "runs"), [(50, {1}), (51, set())])
def test_a_bid_below_the_floor_never_runs(floor: int, runs: set[int]) -> None:
    assert clear([0, 1], [bid(1, 2, 100)], Policy(floor=floor)).winner_ids == runs


@settings(max_examples=1000)
@given(markets())
def test_of_two_bids_for_equally_many_gpus_the_higher_runs(market: Market) -> None:
    gpus, claims, policy = market
    winners = clear(gpus, claims, policy).winner_ids
    bids = [c for c in claims if c.kind is Kind.BID]
    for won, lost in itertools.permutations(bids, 2):
        if won.num_gpus == lost.num_gpus and won.claim_id in winners and lost.claim_id not in winners:
            assert worth([won], policy) >= worth([lost], policy)


@settings(max_examples=1000)
@given(markets())
def test_a_contract_runs_at_its_own_quote_and_not_clearly_below(market: Market) -> None:
    """Lowering a bid to its own quote keeps it running, raising it to that makes it run; two micro-dollars less don't
    do unless the floor said so (one may, in a tie that it wins)."""
    gpus, claims, policy = market
    for claim in (c for c in claims if c.kind is Kind.BID):
        quote = quote_for(gpus, claims, policy, claim.claim_id)
        if quote is None:
            assert claim.num_gpus > capacity_for_bids(market)
            continue
        at_quote = [replace(c, price=quote) if c is claim else c for c in claims]
        assert claim.claim_id in clear(gpus, at_quote, policy).winner_ids
        if quote > 2:
            below = [replace(c, price=quote - 2) if c is claim else c for c in claims]
            assert claim.claim_id not in clear(gpus, below, policy).winner_ids


@settings(max_examples=1000)
@given(markets(), st.data())
def test_losing_a_gpu_moves_bids_off_it_and_leaves_on_demand_alone(market: Market, data: st.DataObject) -> None:
    gpus, claims, policy = market
    broken = data.draw(st.sampled_from(gpus))
    healthy = [gpu for gpu in gpus if gpu != broken]
    outcome = clear(healthy, claims, policy)
    runs = runs_of(healthy, outcome)
    for claim in claims:
        if claim.kind is Kind.ON_DEMAND and claim.holds:
            assert runs[claim.claim_id] == claim.holds
        elif claim.claim_id in runs:
            assert broken not in runs[claim.claim_id]
        if claim.kind is Kind.BID and broken in claim.holds:
            assert claim.claim_id in outcome.displaced
    given_out = [gpu for held in runs.values() for gpu in held]
    assert len(given_out) == len(set(given_out))


@settings(max_examples=1000)
@given(markets(), st.data())
def test_nobody_waits_for_a_gpu_that_is_still_in_use_while_enough_others_are_free(
    market: Market, data: st.DataObject
) -> None:
    gpus, claims, policy = market
    outcome = clear(gpus, claims, policy)
    unused = [gpu for gpu in gpus if not any(gpu in c.holds for c in outcome.winners)]
    ending = frozenset(data.draw(st.sets(st.sampled_from(unused)))) if unused else frozenset()
    runs = runs_of(gpus, outcome, Surroundings(ending=ending))
    waiting = [c for c in outcome.winners if not c.holds]
    spare = set(unused) - ending - {gpu for c in waiting for gpu in runs[c.claim_id]}
    for claim in waiting:
        if runs[claim.claim_id] & ending:
            assert len(spare) < claim.num_gpus


def test_the_worked_example_of_the_architecture_document_is_true() -> None:
    """Each row of its table, with everybody who wins having started."""
    document = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
    policy, claims, gpus = Policy(floor=80_000), list[Claim](), [0, 1, 2, 3]
    steps = [
        ("A bids $0.10 for 1, B bids $0.24 for 2", [bid(1, 1, 100_000, at=1), bid(2, 2, 240_000, at=2)]),
        ("C bids $0.30 for 2", [bid(3, 2, 300_000, at=3)]),
        ("D rents 1 on demand", [on_demand(4, 1, at=4)]),
    ]
    for happens, arrivals in steps:
        claims += arrivals
        runs = runs_of(gpus, clear(gpus, claims, policy))
        claims = [replace(claim, holds=runs.get(claim.claim_id, frozenset())) for claim in claims]
        quotes = clear(gpus, claims, policy).quotes
        who = ", ".join("ABCD"[claim_id - 1] for claim_id in sorted(runs))
        prices = ", ".join("none" if (q := quotes[size]) is None else f"${exact_dollars(q)}" for size in (1, 2, 4))
        assert f"| {happens} | {who} | {prices} |" in document


def test_a_returning_contract_gets_its_old_gpus_where_free() -> None:
    outcome = clear([0, 1, 2, 3], [on_demand(1, 2)], Policy())
    around = Surroundings(before={1: {2, 3}}, idle={2, 3})
    assert runs_of([0, 1, 2, 3], outcome, around) == {1: frozenset({2, 3})}
    assert runs_of([0, 1, 3], outcome, around) == {1: frozenset({0, 3})}
    assert runs_of([0, 1, 2, 3], outcome, Surroundings(before={1: {2, 3}}, ending={3})) == {1: frozenset({0, 2})}


def test_a_contract_whose_container_is_still_ending_starts_again_where_it_is() -> None:
    claims = [on_demand(1, 1, at=1), bid(2, 1, 50, at=0)]
    outcome = clear([0, 1], claims, Policy())
    around = Surroundings(ending={0}, leaving={2: frozenset({0})}, before={1: {0}})
    assert runs_of([0, 1], outcome, around) == {1: frozenset({1}), 2: frozenset({0})}
