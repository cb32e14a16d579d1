"""The parts of `make bench-auction` on a tiny market: they must work; how fast is not a test's business."""

import random

import pytest
from django.utils import timezone

from marketplace.domain.auction import clear
from marketplace.models import DirtyMark, Instance, Offer
from tests.benchmarks import auction_clearing, auction_pure, auction_world
from tests.benchmarks.figures import Comparison, slope

MACHINES = 12
pytestmark = pytest.mark.django_db(transaction=True, reset_sequences=True)


@pytest.fixture
def tiny_market() -> None:
    """Copies of one machine."""
    auction_world.market_seed(timezone.now())
    auction_world.market_copy(MACHINES)


@pytest.mark.usefixtures("tiny_market")
def test_copies_are_machines_like_the_first() -> None:
    assert Instance.objects.filter(state="outbid").count() == MACHINES
    assert Instance.objects.filter(state="running").count() == 2 * MACHINES
    quotes = set(Offer.objects.filter(retired_at=None).values_list("num_gpus", "min_bid_micros_per_hour"))
    assert len(quotes) == 3


@pytest.mark.usefixtures("tiny_market")
def test_what_is_measured_does_what_it_should() -> None:
    assert len(auction_clearing.batches(MACHINES, 1).subject) == 1
    runners = Instance.objects.filter(num_gpus=1)
    assert {one.gpu_micros_per_hour == one.bid_micros_per_hour for one in runners} == {True}
    assert auction_clearing.one_machine(MACHINES, 2) > 0
    assert auction_clearing.incremental(MACHINES, 1).value > 0
    assert auction_clearing.swaps(MACHINES, 1) > 0
    assert Instance.objects.filter(state="outbid").count() == MACHINES
    assert Instance.objects.filter(state="scheduling").count() == 2
    assert not DirtyMark.objects.exists()
    assert isinstance(auction_clearing.large_scans(MACHINES), list)


def test_the_peer_of_the_pure_part_is_the_same_order() -> None:
    bids = auction_pure.bids(50, (1,), random.Random(1))
    best = sorted(bids, key=auction_pure.preference)[:8]
    outcome = clear(auction_pure.GPUS, bids, auction_pure.POLICY)
    assert outcome.winner_ids == {bid.claim_id for bid in best}


def test_figures_say_whether_a_target_is_met() -> None:
    faster = Comparison("x", "ms", "peer/subject", at_least=10, subject=[1, 2, 3], peer=[40, 30, 20])
    assert (faster.value, faster.verdict) == (15, "target >= 10: pass")
    slower = Comparison("x", "ms", at_most=2.5, subject=[3], peer=[1])
    assert slower.verdict == "target <= 2.5: MISS"
    assert "no target" in str(Comparison("x", "ms", subject=[1], peer=[1]))
    assert slope([10, 100, 1000], [2, 20, 200]) == pytest.approx(1)
