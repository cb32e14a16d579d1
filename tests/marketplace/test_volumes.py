"""Volumes from rent to end: who may have one, what it costs, what becomes of it."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agent.protocol import ObservedTask
from agent.volume_protocol import ObservedVolume
from billing.selectors import earnings_by, meter_total_micros
from hosting.domain import volumes as states
from hosting.models import Volume
from hosting.services.lifetimes import lifetimes_extend
from hosting.services.listing import listing_end, listing_set
from hosting.services.offline import machine_mark_offline
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.domain.offers import storage_micros_per_hour
from marketplace.domain.rent import VolumeWish
from marketplace.errors import MarketError
from marketplace.models import Instance, Notice, Offer, User
from marketplace.services.expiry import lifetimes_sweep
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.moves import move_begin
from marketplace.services.offers import disk_given
from marketplace.services.rent import instance_rent
from marketplace.services.unpaid import delete_unpaid
from marketplace.services.volume_ends import volume_lifetimes_sweep
from marketplace.services.volumes import volume_delete, volume_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTH_HOURS = 720


@pytest.fixture
def agent(db: None) -> TestAgent:  # noqa: ARG001 - the database
    return market.listed_machine()


@pytest.fixture
def client(db: None) -> User:  # noqa: ARG001 - the database
    return market.user(dollars=100)


def rented(client: User, agent: TestAgent, size_gb: int = 100, label: str = "", **values: object) -> Volume:
    now = values.pop("now", T0)
    return volume_rent(
        client=client,
        offer_id=market.offer(agent).pk,
        size_gb=size_gb,
        label=label,
        now=now,  # type: ignore[arg-type]  # a datetime
        **values,  # type: ignore[arg-type]  # mixed by design
    )


def ready(client: User, agent: TestAgent, size_gb: int = 720, label: str = "") -> Volume:
    volume = rented(client, agent, size_gb, label)
    agent.keep_volumes(T0)
    return again(volume)


def again(volume: Volume) -> Volume:
    return Volume.objects.get(pk=volume.pk)


def cost(volume: Volume, hours: float) -> int:
    return meter_total_micros(f"volume:{volume.pk}:storage", T0 + hours * HOUR)


def attached(client: User, agent: TestAgent, *wishes: VolumeWish, **values: object) -> Instance:
    offer_id = market.offer(agent).pk
    return instance_rent(client=client, offer_id=offer_id, request=market.wish(volumes=wishes, **values), now=T0)


def refused(code: str, call: object, *arguments: object, **values: object) -> MarketError:
    with pytest.raises(MarketError) as refusal:
        call(*arguments, **values)  # type: ignore[operator]  # a function
    assert refusal.value.code == code, refusal.value
    return refusal.value


def test_a_volume_is_made_told_and_charged_from_when_it_is_there(client: User, agent: TestAgent) -> None:
    volume = rented(client, agent, 720, "data")
    (wish,) = agent.report(T0).volumes or []
    assert (wish.volume_id, wish.label, wish.state, wish.size_gb, wish.may_create) == (
        volume.pk,
        f"V.{volume.pk}",
        "present",
        720,
        True,
    )
    assert cost(volume, 5) == 0
    agent.keep_volumes(T0 + HOUR, used_mb=1500)
    assert (again(volume).state, again(volume).used_mb) == (states.READY, 1500)
    assert cost(volume, 3) == 2 * 100_000, "720 GB at 10 cents a GB and month are 10 cents an hour"
    (wish,) = agent.report(T0 + HOUR).volumes or []
    assert not wish.may_create, "what was there is never made anew"
    (earned,) = earnings_by(agent.machine.host, ["earner"], T0, T0 + 3 * HOUR, T0 + 3 * HOUR)
    assert (earned.earner, earned.amount_micros) == (f"machine:{agent.machine.pk}", 150_000)


def test_a_doubled_report_changes_nothing(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent)
    agent.report(T0 + HOUR)
    agent.report(T0 + HOUR)
    assert [event.to_state for event in volume.events.order_by("pk")] == ["creating", "ready"]
    assert cost(volume, 2) == 200_000


def test_deleting_ends_charging_at_the_click_and_frees_the_disk_on_the_agents_word(
    client: User, agent: TestAgent
) -> None:
    volume = ready(client, agent)
    assert market.offer(agent, 4).disk_space_gb == 280
    volume_delete(user=client, volume_id=volume.pk, now=T0 + HOUR)
    assert volume_delete(user=client, volume_id=volume.pk, now=T0 + HOUR).state == states.DELETING
    assert cost(volume, 9) == 100_000
    assert market.offer(agent, 4).disk_space_gb == 280
    agent.keep_volumes(T0 + HOUR)
    assert again(volume).state == states.DELETED
    assert market.offer(agent, 4).disk_space_gb == 1000
    assert agent.report(T0 + HOUR).volumes == []
    refused("no_such_volume", volume_delete, user=client, volume_id=volume.pk, now=T0)


def test_a_lost_volume_costs_nothing_and_is_not_made_anew(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent)
    agent.volumes[volume.pk] = ObservedVolume(volume_id=volume.pk, state="missing")
    agent.report(T0 + HOUR)
    assert (again(volume).state, again(volume).reason) == (states.FAILED, "volume_lost")
    assert "deleted on the host" in again(volume).message
    assert cost(volume, 5) == 100_000
    refusal = refused("wrong_state", attached, client, agent, VolumeWish(path="/data", volume_id=volume.pk))
    assert "deleted on the host" in refusal.message
    agent.volumes[volume.pk] = ObservedVolume(volume_id=volume.pk, state="present")
    agent.report(T0 + 2 * HOUR)
    assert again(volume).state == states.READY, "its disk was away"
    assert cost(volume, 3) == 200_000


def test_one_that_can_not_be_made_says_why(client: User, agent: TestAgent) -> None:
    volume = rented(client, agent)
    agent.keep_volumes(T0, state="failed", message="no space left")
    assert (again(volume).state, again(volume).message) == (states.FAILED, "no space left")
    (wish,) = agent.report(T0).volumes or []
    assert wish.may_create
    volume_delete(user=client, volume_id=volume.pk, now=T0)
    assert cost(volume, 5) == 0


def test_a_machine_that_is_away_is_not_charged_for(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent)
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=T0 + HOUR)
    assert cost(volume, 5) == 0
    refused("no_such_ask", rented, client, agent, 6)
    agent.report(T0 + 5 * HOUR)
    assert cost(volume, 6) == 100_000


def test_the_same_request_is_one_volume(client: User, agent: TestAgent) -> None:
    first = rented(client, agent)
    assert rented(client, agent, now=T0 + timedelta(minutes=4)) == first
    assert rented(client, agent, now=T0 + timedelta(minutes=6)) != first
    keyed = rented(client, agent, idempotency_key="k")
    assert rented(client, agent, idempotency_key="k", now=T0 + DAY) == keyed


def test_who_may_not_have_one(client: User, agent: TestAgent) -> None:
    assert refused("invalid_args", rented, client, agent, 0).field == "size"
    assert refused("invalid_args", rented, client, agent, 5, "a b").field == "name"
    assert "1000 GB" in refused("disk_too_large", rented, client, agent, 1001).message
    refused("own_machine", rented, agent.machine.host, agent)
    refused("no_credit", rented, market.user(), agent)
    rented(client, agent, 10, "data")
    refused("label_taken", rented, client, agent, 11, "data")
    rented(market.user(dollars=10), agent, 11, "data")
    refused("no_such_ask", volume_rent, client=client, offer_id=10**9, size_gb=1, label="", now=T0)
    agent.abilities = []
    agent.report(T0)
    refused("no_volumes", rented, client, agent, 5)


def test_a_quote_holds_while_the_terms_for_storage_do(client: User, agent: TestAgent) -> None:
    quote = market.offer(agent).pk
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(gpu_micros_per_hour=1), now=T0)
    assert market.offer(agent).pk != quote
    volume_rent(client=client, offer_id=quote, size_gb=5, label="", now=T0)
    dearer = market.terms(storage_micros_per_gb_month=200_000)
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=dearer, now=T0)
    refused("no_such_ask", volume_rent, client=client, offer_id=quote, size_gb=6, label="", now=T0)
    assert Volume.objects.get(owner=client).storage_micros_per_gb_month == 100_000
    listing_end(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    refused("no_such_ask", volume_rent, client=client, offer_id=quote, size_gb=6, label="", now=T0)


def test_an_instance_gets_its_volume_and_holds_it_until_it_is_gone(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent, 100, "data")
    first = attached(client, agent, VolumeWish(path="/data", name="data"))
    second = attached(client, agent, VolumeWish(path="/other", volume_id=volume.pk), label="two")
    specs = {task.label: task.spec.volumes for task in agent.obey(T0).tasks}
    assert [(m.volume_id, m.path) for m in specs[f"C.{first.pk}"]] == [(volume.pk, "/data")]
    assert [(m.volume_id, m.path) for m in specs[f"C.{second.pk}"]] == [(volume.pk, "/other")]
    said = refused("volume_in_use", volume_delete, user=client, volume_id=volume.pk, now=T0).message
    assert f"C.{first.pk}, C.{second.pk}" in said
    for one in (first, second):
        instance_destroy(instance_id=one.pk, actor=client, now=T0)
    refused("volume_in_use", volume_delete, user=client, volume_id=volume.pk, now=T0)
    agent.obey(T0)
    volume_delete(user=client, volume_id=volume.pk, now=T0)
    agent.keep_volumes(T0)
    assert again(volume).state == states.DELETED


def test_a_volume_made_with_an_instance_outlives_it(client: User, agent: TestAgent) -> None:
    instance = attached(client, agent, VolumeWish(path="/data", new_size_gb=72, name="kept"))
    (volume,) = Volume.objects.all()
    assert (volume.owner, volume.label, volume.end_at) == (client, "kept", instance.end_at)
    offered = market.offer(agent).pk
    same = instance_rent(
        client=client,
        offer_id=instance.offer_id,
        request=market.wish(volumes=(VolumeWish(path="/data", new_size_gb=72, name="kept"),)),
        now=T0,
    )
    assert (same.pk, Volume.objects.count(), market.offer(agent).pk) == (instance.pk, 1, offered)
    agent.keep_volumes(T0)
    agent.obey(T0)
    instance_destroy(instance_id=instance.pk, actor=client, now=T0 + HOUR)
    agent.obey(T0 + HOUR)
    assert again(volume).state == states.READY
    assert cost(volume, 2) == 20_000
    later = attached(client, agent, VolumeWish(path="/data", volume_id=volume.pk))
    assert later.task.spec["volumes"] == [{"volume_id": volume.pk, "path": "/data"}]


def test_what_can_not_be_attached(client: User, agent: TestAgent) -> None:
    elsewhere = market.listed_machine()
    far = rented(client, elsewhere, 5)
    refused("wrong_machine", attached, client, agent, VolumeWish(path="/data", volume_id=far.pk))
    others = rented(market.user(dollars=5), agent, 5, "data")
    refused("no_such_volume", attached, client, agent, VolumeWish(path="/data", volume_id=others.pk))
    refused("no_such_volume", attached, client, agent, VolumeWish(path="/data", name="data"))
    assert (
        refused("invalid_args", attached, client, agent, VolumeWish(path="/etc", new_size_gb=5)).field == "volume_info"
    )
    quote = VolumeWish(path="/data", new_size_gb=5, offer_id=market.offer(elsewhere).pk)
    refused("wrong_machine", attached, client, agent, quote)
    refused("disk_too_large", attached, client, agent, VolumeWish(path="/data", new_size_gb=995))
    agent.abilities = []
    agent.report(T0)
    refused("no_volumes", attached, client, agent, VolumeWish(path="/data", new_size_gb=5))
    assert not Volume.objects.filter(owner=client, machine=agent.machine).exists()


def test_an_instance_with_a_volume_can_not_move(client: User, agent: TestAgent) -> None:
    instance = attached(client, agent, VolumeWish(path="/data", new_size_gb=5))
    agent.obey(T0)
    instance_stop(instance_id=instance.pk, actor=client, now=T0)
    agent.obey(T0)
    target = market.offer(market.listed_machine()).pk
    refusal = refused(
        "cannot_move", move_begin, user=client, source_id=instance.pk, offer_id=target, bid_micros_per_hour=None, now=T0
    )
    assert "volume" in refusal.message


def test_an_instance_lives_no_longer_than_its_volume(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent, 10)
    longer = market.terms(end_at=T0 + 200 * DAY)
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=longer, now=T0)
    assert attached(client, agent, VolumeWish(path="/data", volume_id=volume.pk)).end_at == volume.end_at
    lifetimes_extend(machine_id=agent.machine.pk, host=agent.machine.host, end_at=T0 + 300 * DAY, now=T0)
    assert again(volume).end_at == Instance.objects.get().end_at == T0 + 300 * DAY


def test_the_end_of_a_lifetime_is_that_of_a_disk(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent)
    market.grant(client, 1000)
    end = volume.end_at
    lifetimes_sweep(now=end - HOUR)
    lifetimes_sweep(now=end + HOUR)
    assert again(volume).state == states.READY
    refused("expired", instance_rent_at, client, agent, volume, end + HOUR)
    lifetimes_sweep(now=end + DISK_KEPT + HOUR)
    assert again(volume).state == states.DELETING
    hours = (end + DISK_KEPT - T0) / HOUR
    assert cost(volume, hours + 99) == hours * 100_000
    ends = Notice.objects.filter(kind="volume_ends").order_by("pk").values_list("subject", flat=True)
    assert [subject.removeprefix(f"The volume V.{volume.pk} ") for subject in ends] == [
        "reaches the end of its lifetime soon",
        "has reached the end of its lifetime",
        "is deleted",
    ]


def instance_rent_at(client: User, agent: TestAgent, volume: Volume, now: object) -> Instance:
    longer = market.terms(end_at=T0 + 200 * DAY)
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=longer, now=now)  # type: ignore[arg-type]  # a datetime
    request = market.wish(volumes=(VolumeWish(path="/data", volume_id=volume.pk),))
    return instance_rent(client=client, offer_id=market.offer(agent).pk, request=request, now=now)  # type: ignore[arg-type]  # a datetime


def test_nothing_is_deleted_under_an_instance(client: User, agent: TestAgent) -> None:
    volume = ready(client, agent, 10)
    instance = attached(client, agent, VolumeWish(path="/data", volume_id=volume.pk))
    agent.obey(T0)
    late = volume.end_at + DISK_KEPT + HOUR
    volume_lifetimes_sweep(now=late)
    assert again(volume).state == states.READY
    lifetimes_sweep(now=late)
    instance.refresh_from_db()
    assert (instance.state, again(volume).state) == ("destroying", states.DELETING)


def test_a_debt_ends_like_that_of_stopped_instances(agent: TestAgent) -> None:
    poor = market.user(dollars=1)
    volume = ready(poor, agent)
    delete_unpaid(now=T0 + 11 * HOUR)
    assert again(volume).state == states.READY, "kept for a while"
    delete_unpaid(now=T0 + 60 * DAY)
    assert again(volume).state == states.DELETING
    assert f"V.{volume.pk}" in Notice.objects.get(kind="disks_deleted").text


def test_the_report_of_a_run_without_its_volume_blames_the_host(client: User, agent: TestAgent) -> None:
    instance = attached(client, agent, VolumeWish(path="/data", new_size_gb=5))
    agent.report(
        T0,
        ObservedTask(
            task_id=instance.task_id,
            phase="failed",
            run_generation=1,
            age_seconds=0.0,
            reason="volume_missing",
            message="Gone.",
        ),
    )
    instance.refresh_from_db()
    assert (instance.state, instance.status_message) == ("error", "Gone.")


class TestCapacity(TestCase):
    """No sequence of rentals gives more disk away than the machine has, and all of it comes back."""

    @settings(max_examples=15)
    @given(st.lists(st.tuples(st.sampled_from(["volume", "instance", "both"]), st.integers(8, 600)), max_size=6))
    def test_disk_is_never_given_twice(self, asked: list[tuple[str, int]]) -> None:
        agent, client = market.listed_machine(), market.user(dollars=1000)
        for number, (kind, size_gb) in enumerate(asked):
            try:
                if kind == "volume":
                    rented(client, agent, size_gb, f"n{number}")
                else:
                    wishes = [VolumeWish(path="/data", new_size_gb=size_gb)] if kind == "both" else []
                    attached(client, agent, *wishes, disk_gb=min(size_gb, 250), label=str(number))
            except (MarketError, Offer.DoesNotExist):
                continue
            assert disk_given(agent.machine) <= 1000
            assert market.offer(agent, 4).disk_space_gb == 1000 - disk_given(agent.machine)
        agent.keep_volumes(T0)
        for instance in Instance.objects.all():
            instance_destroy(instance_id=instance.pk, actor=client, now=T0)
        agent.obey(T0)
        for volume in Volume.objects.all():
            volume_delete(user=client, volume_id=volume.pk, now=T0)
        agent.keep_volumes(T0)
        assert (disk_given(agent.machine), market.offer(agent, 4).disk_space_gb) == (0, 1000)


@given(size_gb=st.integers(1, 10_000), micros=st.integers(0, 10**7))
def test_a_gigabyte_of_a_volume_costs_what_one_of_a_disk_costs(size_gb: int, micros: int) -> None:
    rate = storage_micros_per_hour(micros, size_gb)
    assert abs(rate * MONTH_HOURS - size_gb * micros) <= MONTH_HOURS // 2
