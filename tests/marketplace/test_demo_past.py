"""The machines of the demo have a history that their figures come from."""

from datetime import timedelta

import pytest

from hosting.models import Machine, MachineEvent
from hosting.reliability_report import reliability_report
from hosting.services.listing import listing_set
from hosting.services.reliability import reliability_differences, reliability_refresh, reliability_sweep
from marketplace.demo.machines import fleet
from marketplace.demo.past import BEGAN, CHECKS, LAUNCHES, Past, past_record
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


def machine_with(past: Past) -> Machine:
    host = market.user()
    agent = market.TestAgent(market.register(host))
    agent.report(T0)
    past_record(agent.machine, past, T0)
    listing_set(machine_id=agent.machine.pk, host=host, terms=market.terms(), now=T0)
    return Machine.objects.get(pk=agent.machine.pk)


def test_figures_come_from_the_past_and_go_on_from_there() -> None:
    steady, shaky = machine_with(Past(1, 0.999)), machine_with(Past(2, 0.87))
    ids = [steady.pk, shaky.pk]
    assert reliability_refresh(machine_ids=ids, now=T0 + timedelta(minutes=2), from_scratch=True) == 2
    for hour in (0.1, 5, 30):
        reliability_sweep(now=T0 + timedelta(hours=hour))
        assert reliability_differences() == (2, [])
    steady.refresh_from_db()
    shaky.refresh_from_db()
    assert 0.95 < steady.reliability < 1
    assert 0.7 < shaky.reliability < 0.93
    assert shaky.registered_at == T0 - BEGAN


def test_a_past_is_told_once_and_is_on_the_machines_page() -> None:
    machine = machine_with(Past(2, 0.87))
    count = MachineEvent.objects.count()
    past_record(machine, Past(2, 0.87), T0)
    assert MachineEvent.objects.count() == count
    launches = MachineEvent.objects.filter(kind__in=("launched", "launch_failed"))
    assert launches.count() == LAUNCHES
    assert MachineEvent.objects.filter(kind="performance_check").count() == CHECKS
    report = reliability_report(machine, now=T0 + timedelta(minutes=2))
    assert report.outages
    assert report.longest is not None
    assert report.longest.counted < timedelta(days=2)


def test_the_machines_of_the_market_differ_and_are_the_same_every_time() -> None:
    pasts = [row.past for row in fleet()]
    assert pasts == [row.past for row in fleet()]
    assert len(set(pasts)) == len(pasts) > 40
