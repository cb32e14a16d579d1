"""Nothing can be fragmented: whatever is free can be rented together. And what a cleanup does."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hosting.errors import HostingError
from hosting.services.listing import listing_end
from marketplace.domain.assignment import Surroundings, assign
from marketplace.domain.auction import Claim, Kind, Policy, clear
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.domain.room import Room, room_of, room_sentence
from marketplace.machine_room import machine_rooms
from marketplace.models import Instance, User
from marketplace.services.cleanup import cleanup_sentence, machine_cleanup
from marketplace.services.expiry import lifetimes_sweep, stop_expired
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

NEWCOMER = 99
POLICY = Policy(increment_bps=500, floor=1)
HOUR = timedelta(hours=1)
END = T0 + 72 * HOUR


def claim(number: int, kind: Kind, gpus: int, holds: Sequence[int] = ()) -> Claim:
    price = 10 * gpus if kind is Kind.BID else 0
    return Claim(
        claim_id=number,
        kind=kind,
        num_gpus=gpus,
        placed_at=T0 + timedelta(seconds=number),
        price=price,
        holds=frozenset(holds),
    )


@st.composite
def scattered(draw: st.DrawFn) -> tuple[list[int], list[Claim]]:
    """GPUs in any order, of which contracts hold any: as after years of renting, stopping and destroying."""
    gpus = list(range(draw(st.integers(1, 16))))
    left, claims = draw(st.permutations(gpus)), []
    for number in range(1, draw(st.integers(0, 6)) + 1):
        size = draw(st.integers(1, 4))
        kind = draw(st.sampled_from(Kind))
        if len(left) >= size:
            claims.append(claim(number, kind, size, left[:size]))
            left = left[size:]
    return gpus, claims


@settings(max_examples=500)
@given(machine=scattered(), data=st.data())
def test_whatever_is_free_can_be_rented_together_and_nobody_moves(
    machine: tuple[list[int], list[Claim]], data: st.DataObject
) -> None:
    gpus, claims = machine
    room = room_of(gpus, claims, POLICY)
    assert room.free == len(gpus) - sum(c.num_gpus for c in claims)
    if not room.free:
        return
    size = data.draw(st.integers(1, room.free))
    outcome = clear(gpus, [*claims, claim(NEWCOMER, Kind.ON_DEMAND, size)], POLICY)
    runs = assign(gpus, outcome.winners, Surroundings())
    assert len(runs[NEWCOMER]) == size
    assert outcome.displaced == frozenset()
    assert all(runs[c.claim_id] == c.holds for c in claims)


@settings(max_examples=500)
@given(machine=scattered(), waiting=st.lists(st.integers(1, 8), max_size=2))
def test_as_many_are_rentable_as_one_contract_gets(machine: tuple[list[int], list[Claim]], waiting: list[int]) -> None:
    gpus, held = machine
    claims = [*held, *(claim(50 + n, Kind.ON_DEMAND, size) for n, size in enumerate(waiting))]
    room = room_of(gpus, claims, POLICY)
    sizes = [
        size
        for size in range(1, len(gpus) + 1)
        if NEWCOMER in clear(gpus, [*claims, claim(NEWCOMER, Kind.ON_DEMAND, size)], POLICY).winner_ids
    ]
    assert sizes == list(range(1, room.rentable + 1))
    if not waiting:
        assert room.rentable == len(gpus) - room.on_demand


def test_gpus_that_are_being_left_are_counted_once() -> None:
    claims = [claim(1, Kind.ON_DEMAND, 2, [0, 3]), claim(2, Kind.BID, 1, [5])]
    room = room_of(range(8), claims, POLICY, ending=[3, 6])
    assert room == Room(gpus=8, on_demand=2, bids=1, ending=1, rentable=6)
    assert room.free == 4


@pytest.mark.parametrize(
    ("room", "is_offered", "words"),
    [
        (Room(gpus=0), True, "No GPU of this machine is fit to be rented now."),
        (Room(gpus=1, rentable=1), True, "1 of 1 GPU is free. One more can be rented."),
        (Room(gpus=8, rentable=8), False, "8 of 8 GPUs are free. None is on offer now: the machine is not listed,"),
        (Room(gpus=2, on_demand=2), True, "0 of 2 GPUs are free; 2 rented on demand. Nothing more can be rented"),
        (Room(gpus=8, on_demand=2, bids=1, ending=1, rentable=6), True, "One rental can have up to 6 together"),
    ],
)
def test_what_a_host_is_told(room: Room, is_offered: bool, words: str) -> None:
    assert words in room_sentence(room, is_offered=is_offered)


@pytest.fixture
def agent() -> TestAgent:
    """A machine with eight GPUs that is listed for three days."""
    return market.listed_machine(gpus=8, end_at=END)


@pytest.fixture
def client() -> User:
    return market.user(dollars=1000)


def rent(agent: TestAgent, client: User, gpus: int = 1, now: datetime = T0) -> Instance:
    instance = instance_rent(client=client, offer_id=market.offer(agent, gpus).pk, request=market.wish(), now=now)
    agent.obey(now)
    return instance


@pytest.mark.django_db
def test_holes_are_rented_together(agent: TestAgent, client: User) -> None:
    """Every second of eight GPUs is given back: the four between are one offer."""
    instances = [rent(agent, client) for _ in range(8)]
    for instance in instances[::2]:
        instance_destroy(instance_id=instance.pk, actor=client, now=T0)
    agent.obey(T0)
    found = machine_rooms([agent.machine.pk])[0]
    assert (found.room.free, found.room.rentable, found.offered_sizes) == (4, 4, (1, 2, 4))
    four = rent(agent, client, 4)
    indexes = four.task.gpu_claims.filter(released_at=None).values_list("gpu__index", flat=True)
    assert sorted(indexes) == [0, 2, 4, 6]


@pytest.mark.django_db
def test_an_unlisted_machine_is_told_to_be_so(agent: TestAgent) -> None:
    listing_end(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    assert "None is on offer now" in machine_rooms([agent.machine.pk])[0].sentence


@pytest.mark.django_db
def test_a_cleanup_deletes_what_is_due_on_this_machine_only(agent: TestAgent, client: User) -> None:
    other = market.listed_machine(gpus=8, end_at=END)
    here, there = rent(agent, client), rent(other, client)
    late = END + DISK_KEPT + HOUR
    host = agent.machine.host
    cleaned = machine_cleanup(machine_id=agent.machine.pk, host=host, now=late)
    assert Instance.objects.get(pk=here.pk).state == "destroying"
    assert Instance.objects.get(pk=there.pk).state == "running"
    assert cleaned.left.going == 1
    assert "The agent has yet to delete 1 container or volume." in cleanup_sentence(cleaned)
    agent.obey(late)
    again = machine_cleanup(machine_id=agent.machine.pk, host=host, now=late)
    assert cleanup_sentence(again) == "Nothing is left of expired contracts."


@pytest.mark.django_db
def test_what_was_promised_to_be_kept_stays(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    instance_stop(instance_id=instance.pk, actor=client, now=T0)
    agent.obey(T0)
    for _ in range(2):
        stop_expired(now=END + HOUR)
        lifetimes_sweep(now=END + HOUR)
    before = agent.report(END + HOUR).generation
    cleaned = machine_cleanup(machine_id=agent.machine.pk, host=agent.machine.host, now=END + HOUR)
    assert Instance.objects.get(pk=instance.pk).state == "stopped"
    assert (cleaned.ended, cleaned.left.kept, cleaned.left.kept_gb) == (0, 1, 10)
    assert "1 disk of 10 GB in all, whose contracts are over, is kept for their clients" in cleanup_sentence(cleaned)
    assert agent.report(END + HOUR).generation > before, "the agent looks again"


@pytest.mark.django_db
def test_only_its_host_cleans_a_machine_up(agent: TestAgent, client: User) -> None:
    with pytest.raises(HostingError, match="You have no machine"):
        machine_cleanup(machine_id=agent.machine.pk, host=client, now=T0)
