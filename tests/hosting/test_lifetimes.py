"""Lifetimes: a host may lengthen them and never shortens them."""

from datetime import datetime, timedelta

import pytest

from hosting.errors import HostingError
from hosting.models import Listing, MachineEvent
from hosting.services.lifetimes import lifetimes_extend, listing_set_and_extend
from hosting.services.listing import listing_end, listing_set
from marketplace.models import Instance, InstanceEvent, Offer
from marketplace.services.expiry import stop_expired
from marketplace.services.lifecycle import instance_destroy, instance_start
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db

END = T0 + timedelta(days=90)
LATER = T0 + timedelta(days=120)


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


def rent(agent: TestAgent, now: datetime = T0) -> Instance:
    return instance_rent(
        client=market.user(dollars=100), offer_id=market.offer(agent).pk, request=market.wish(), now=now
    )


def extend(agent: TestAgent, end_at: datetime, now: datetime = T0) -> int:
    return lifetimes_extend(machine_id=agent.machine.pk, host=agent.machine.host, end_at=end_at, now=now)


def ends() -> list[datetime]:
    return list(Instance.objects.order_by("pk").values_list("end_at", flat=True))


def relist(agent: TestAgent, **values: object) -> None:
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(**values), now=T0)


def test_contracts_and_offers_get_the_later_end_at_their_price(agent: TestAgent) -> None:
    first, second = rent(agent), rent(agent)
    Instance.objects.filter(pk=first.pk).update(lifetime_stage=2)
    prices = Instance.objects.order_by("pk").values_list("gpu_micros_per_hour", "storage_micros_per_gb_month")
    before = list(prices)
    assert extend(agent, LATER) == 2
    assert ends() == [LATER, LATER]
    assert list(prices) == before
    first.refresh_from_db()
    assert first.lifetime_stage == 0
    event = InstanceEvent.objects.get(instance=second, kind="extended")
    assert (event.actor, event.message) == (
        agent.machine.host,
        "The host extended the lifetime from 2026-05-31 12:00 UTC to 2026-06-30 12:00 UTC.",
    )
    assert Listing.objects.get().end_at == LATER
    assert set(Offer.objects.filter(retired_at=None).values_list("end_at", flat=True)) == {LATER}
    assert MachineEvent.objects.get(kind="extended").details["contracts"] == 2


def test_extending_twice_or_to_an_earlier_day_changes_nothing(agent: TestAgent) -> None:
    rent(agent)
    extend(agent, LATER)
    events = (InstanceEvent.objects.count(), MachineEvent.objects.count())
    assert extend(agent, LATER) == 0
    assert extend(agent, END) == 0
    assert ends() == [LATER]
    assert Listing.objects.get().end_at == LATER
    assert (InstanceEvent.objects.count(), MachineEvent.objects.count()) == events


def test_only_what_ends_earlier_is_touched(agent: TestAgent) -> None:
    longer, shorter = rent(agent), rent(agent)
    Instance.objects.filter(pk=longer.pk).update(end_at=LATER + timedelta(days=9))
    assert extend(agent, LATER) == 1
    assert ends() == [LATER + timedelta(days=9), LATER]
    assert list(InstanceEvent.objects.filter(kind="extended").values_list("instance_id", flat=True)) == [shorter.pk]


def test_contracts_of_other_machines_and_destroyed_ones_stay(agent: TestAgent) -> None:
    other = market.listed_machine()
    rent(other)
    gone = rent(agent)
    instance_destroy(instance_id=gone.pk, actor=gone.client, now=T0)
    assert extend(agent, LATER) == 0
    agent.obey(T0)
    assert extend(agent, LATER + timedelta(days=1)) == 0
    assert ends() == [END, END]


def test_a_kept_disk_whose_lifetime_is_over_lives_again(agent: TestAgent) -> None:
    instance = rent(agent)
    agent.obey(T0)
    market.grant(instance.client, 10_000)
    over = END + timedelta(hours=1)
    assert stop_expired(now=over) == 1
    agent.obey(over)
    assert extend(agent, LATER, now=over) == 1
    instance_start(instance_id=instance.pk, actor=instance.client, now=over)
    instance.refresh_from_db()
    assert instance.wants_running
    assert stop_expired(now=over) == 0


def test_an_unlisted_machine_stays_unlisted(agent: TestAgent) -> None:
    rent(agent)
    listing_end(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    assert extend(agent, LATER) == 1
    listing = Listing.objects.get()
    assert (listing.active, listing.end_at) == (False, END)
    assert not Offer.objects.filter(retired_at=None).exists()


def test_unlisting_and_earlier_end_dates_touch_no_contract(agent: TestAgent) -> None:
    rent(agent)
    relist(agent, end_at=T0 + timedelta(days=1))
    assert ends() == [END]
    listing_end(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    assert ends() == [END]
    relist(agent, end_at=LATER)
    assert ends() == [END]  # a longer offer is for new rentals too; extending is asked for


def test_listing_may_extend_and_never_shortens(agent: TestAgent) -> None:
    rent(agent)

    def listed(end_at: datetime) -> int:
        terms = market.terms(end_at=end_at, gpu_micros_per_hour=900_000)
        return listing_set_and_extend(machine_id=agent.machine.pk, host=agent.machine.host, terms=terms, now=T0)

    assert listed(LATER) == 1
    assert listed(T0 + timedelta(days=1)) == 0
    assert ends() == [LATER]
    assert Listing.objects.get().end_at == T0 + timedelta(days=1)
    assert Instance.objects.get().gpu_micros_per_hour == 500_000


@pytest.mark.parametrize("end_at", [T0, T0 - timedelta(days=1), T0 + timedelta(days=3 * 365 + 1)])
def test_ends_that_make_no_sense(agent: TestAgent, end_at: datetime) -> None:
    rent(agent)
    with pytest.raises(HostingError) as refused:
        extend(agent, end_at)
    assert (refused.value.code, refused.value.field) == ("invalid_terms", "end_at")
    assert ends() == [END]


def test_only_the_own_machine(agent: TestAgent) -> None:
    rent(agent)
    with pytest.raises(HostingError) as refused:
        lifetimes_extend(machine_id=agent.machine.pk, host=market.user(), end_at=LATER, now=T0)
    assert (refused.value.code, refused.value.status) == ("no_such_machine", 404)
    assert ends() == [END]
