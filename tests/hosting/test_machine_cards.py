"""What the cards of machines say: alerts by rule, earnings by period and use, how much was rented."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing.services import settle_running
from dlperf.domain.score import Score, Scores
from hosting.domain.benchmarks import scores_to_keep
from hosting.domain.machine_alerts import BAD, AlertFacts, alerts
from hosting.machine_cards import machine_cards
from hosting.models import Machine
from hosting.selectors import machines_of
from hosting.services.reliability import performance_check_record, reliability_refresh
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0
from tests.web.pages import text

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

FACTS = st.builds(
    AlertFacts,
    online=st.booleans(),
    last_seen_at=st.none() | st.just(T0),
    suspended=st.booleans(),
    engine_error=st.sampled_from(["", "down"]),
    unhealthy_gpus=st.integers(0, 2),
    case_open=st.booleans(),
    open_reports=st.integers(0, 2),
    slower_than_usual=st.booleans(),
    implausible=st.booleans(),
    disk_used_percent=st.none() | st.floats(0, 100),
    failed_agent_version=st.sampled_from(["", "1.2"]),
    listed_until=st.none() | st.integers(-100, 100).map(lambda hours: T0 + timedelta(hours=hours)),
)


@given(FACTS)
def test_the_gravest_come_first_and_nothing_is_said_twice(facts: AlertFacts) -> None:
    found = alerts(facts, T0)
    levels = [alert.level for alert in found]
    assert levels == sorted(levels, key=lambda level: level != BAD)
    assert len({alert.text for alert in found}) == len(found)
    assert ("Suspended by the marketplace" in {alert.text for alert in found}) == facts.suspended
    assert any("heard" in alert.text for alert in found) == (not facts.online)


@pytest.mark.parametrize(("percent", "is_told"), [(None, False), (89.9, False), (90.0, True), (99.9, True)])
def test_a_disk_that_is_nearly_full_is_told(percent: float | None, *, is_told: bool) -> None:
    assert bool(alerts(AlertFacts(online=True, disk_used_percent=percent), T0)) == is_told


def test_a_machine_without_trouble_has_no_alerts() -> None:
    assert alerts(AlertFacts(online=True, listed_until=T0 + 30 * DAY), T0) == []


@pytest.mark.parametrize(("hours", "is_told"), [(-1, False), (1, True), (72, True), (73, False)])
def test_an_end_that_is_near_is_told(hours: int, *, is_told: bool) -> None:
    found = alerts(AlertFacts(online=True, listed_until=T0 + timedelta(hours=hours)), T0)
    assert [alert.text for alert in found] == (
        [f"Its listing ends at {T0 + hours * HOUR:%Y-%m-%d %H:%M} UTC"] * is_told
    )


@pytest.mark.django_db
def test_earnings_and_occupancy_of_a_rental() -> None:
    """Two hours of one of four GPUs at half a dollar, three quarters of which are the host's."""
    agent = market.listed_machine()
    idle = market.listed_machine(agent.machine.host)
    renter = market.user(dollars=10)
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    settle_running(now=T0 + HOUR)
    instance_stop(instance_id=instance.pk, actor=renter, now=T0 + 2 * HOUR)
    agent.obey(T0 + 2 * HOUR)
    now = T0 + 10 * HOUR
    host = agent.machine.host
    used, unused = machine_cards(host, list(machines_of(host)), now)
    assert used.earned.by_kind["gpu"] == 750_000
    assert used.earned.today == used.earned.week == used.earned.month == sum(used.earned.by_kind.values())
    assert used.occupancy_percent == 5  # 2 of 40 GPU-hours
    assert (unused.machine, unused.earned.month, unused.occupancy_percent) == (idle.machine, 0, 0)
    (yesterday, _) = machine_cards(host, list(machines_of(host)), T0 + 2 * DAY)
    assert yesterday.earned.week > yesterday.earned.today


@pytest.mark.django_db
def test_what_each_rental_earns_now_and_what_the_machine_is_worth(client: Client) -> None:
    agent = market.listed_machine()
    host, renter = agent.machine.host, market.user(dollars=10)
    sizes = (1, 2)
    first, second = (
        instance_rent(client=renter, offer_id=market.offer(agent, size).pk, request=market.wish(), now=T0)
        for size in sizes
    )
    agent.obey(T0)
    (card,) = machine_cards(host, list(machines_of(host)), T0)
    assert list(card.earning.rentals) == [f"instance:{first.pk}", f"instance:{second.pk}"]
    for size, micros in zip(sizes, card.earning.rentals.values(), strict=True):
        assert 375_000 * size < micros < 377_000 * size  # three quarters of half a dollar, and of its disk
    assert (card.earning.kept, card.earning.total) == (0, sum(card.earning.rentals.values()))
    instance_stop(instance_id=first.pk, actor=renter, now=T0)
    agent.obey(T0)
    (card,) = machine_cards(host, list(machines_of(host)), T0)
    assert list(card.earning.rentals) == [f"instance:{second.pk}"]
    assert 0 < card.earning.kept < 2_000
    client.force_login(host)
    with time_machine.travel(T0, tick=False):
        shown = text(client.get(reverse("host_machines")))
    assert f"Instance {second.pk} $0.75" in shown
    assert "Disks and volumes besides $0.0" in shown


@pytest.mark.django_db
def test_dlperf_says_where_it_comes_from_and_reliability_what_it_is_made_of(client: Client) -> None:
    agent = market.listed_machine()
    host, machine = agent.machine.host, agent.machine
    client.force_login(host)

    def shown() -> str:
        return text(client.get(reverse("host_machines")))

    with time_machine.travel(T0 + DAY, tick=False):
        assert "of the model" in shown()
        assert "Reliability 88.5% availability 95.8%, launches 90.0%, checks 90.0%" in shown()
        performance_check_record(machine_id=machine.pk, passed=False, at=T0)
        reliability_refresh(machine_ids=[machine.pk], now=T0 + DAY)
        assert "checks 81." in shown()
        Machine.objects.filter(pk=machine.pk).update(gpu_name="Abacus")
        assert "estimate" in shown()
        score = Score(12.5, is_estimate=False)
        kept = scores_to_keep(Scores(score, score, score, score, score))
        Machine.objects.filter(pk=machine.pk).update(measured_scores=kept)
        assert "DLPerf per GPU 12.5 measured here" in shown()


@pytest.mark.django_db
def test_any_number_of_cards_takes_as_many_queries(django_assert_num_queries: object, client: Client) -> None:
    host = market.user()
    market.listed_machine(host)
    with django_assert_num_queries(7) as one:  # type: ignore[operator]  # a fixture that is a function
        machine_cards(host, list(machines_of(host)), T0)
    for _ in range(3):
        market.listed_machine(host)
    with django_assert_num_queries(len(one)):  # type: ignore[operator]  # likewise
        machine_cards(host, list(machines_of(host)), T0)
    client.force_login(host)
    assert "Rented, 7 days" in client.get(reverse("host_machines")).content.decode()
