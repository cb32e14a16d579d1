"""What pages tell of reliability and of the order of offers."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from agent.protocol import ObservedTask
from hosting.models import Machine
from hosting.reliability_report import reliability_report
from hosting.services.offline import machine_mark_offline
from hosting.services.quiet_periods import maintenance_announce
from hosting.services.reliability import performance_check_record, reliability_sweep
from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import text

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def page(web: Client, agent: TestAgent, after: timedelta) -> str:
    with time_machine.travel(T0 + after, tick=False):
        return text(web.get(f"/host/machines/{agent.machine.pk}/"))


def test_a_new_machine_shows_what_the_priors_say(host_web: Client, agent: TestAgent) -> None:
    shown = page(host_web, agent, timedelta())
    assert "Shown 88.5% proven 79.6%" in shown
    assert "Availability 95.8% No outage in 30 days" in shown
    assert "Launches 90.0% 0 went well, 0 failed by the machine's fault in 30 days" in shown
    assert "Performance checks 90.0% 0 passed, 0 failed in 30 days" in shown


def test_the_parts_are_on_the_machines_page(host_web: Client, agent: TestAgent, renter: User) -> None:
    offer = market.offer(agent, 2)
    instance = instance_rent(client=renter, offer_id=offer.pk, request=market.wish(), now=T0)
    agent.obey(T0 + HOUR)
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0 + 2 * HOUR, now=T0 + 2 * HOUR)
    agent.report(T0 + 5 * HOUR)
    lost = ObservedTask(
        task_id=instance.task_id, phase="failed", run_generation=1, age_seconds=0, reason="container_lost"
    )
    agent.report(T0 + 6 * HOUR, lost)
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0 + 7 * HOUR, now=T0 + 7 * HOUR)
    agent.report(T0 + 8 * HOUR)
    performance_check_record(machine_id=agent.machine.pk, passed=False, at=T0 + 8 * HOUR)
    shown = page(host_web, agent, 9 * HOUR)
    assert "2 outages in 30 days, 4 h 0 min in all. Longest: 3 h 0 min, from 2 Mar 14:00, while rented" in shown
    assert "1 went well, 1 failed by the machine's fault in 30 days 1: the container was lost" in shown
    assert "0 passed, 1 failed in 30 days" in shown
    assert "Launch failed the container was lost" in shown
    later = reliability_report(agent.machine, now=T0 + timedelta(days=31))
    assert (later.outages, later.launched, later.launches_failed, later.checks_failed) == ([], 0, 0, 0)


def test_a_failure_of_the_client_is_told_but_not_counted(host_web: Client, agent: TestAgent, renter: User) -> None:
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    missing = ObservedTask(
        task_id=instance.task_id, phase="failed", run_generation=1, age_seconds=0, reason="image_missing"
    )
    agent.report(T0 + HOUR, missing)
    shown = page(host_web, agent, 2 * HOUR)
    assert "Launches 90.0% 0 went well, 0 failed by the machine's fault in 30 days" in shown
    assert "1 not counted: the image does not exist" in shown


def test_announced_maintenance_is_told(host_web: Client, agent: TestAgent) -> None:
    maintenance_announce(
        machine_id=agent.machine.pk, starts_at=T0 + HOUR, ends_at=T0 + 3 * HOUR, actor=None, note="New fans", now=T0
    )
    assert "2 Mar 2026 13:00 to 2 Mar 2026 15:00 UTC Under way New fans" in page(host_web, agent, 2 * HOUR)
    assert "New fans" not in page(host_web, agent, 4 * HOUR)


def test_each_offer_shows_the_parts_of_its_score(client: Client, agent: TestAgent) -> None:
    reliability_sweep(now=T0 + timedelta(days=1))
    machine = Machine.objects.get(pk=agent.machine.pk)
    with time_machine.travel(T0 + timedelta(days=1), tick=False):
        answer = client.get("/?gpus=1")
    (offer,) = answer.context["offers"]
    assert offer["score"] == offer["dlperf_per_dphtotal"] * machine.reliability_lower * machine.reliability_lower
    shown = text(answer)
    assert f"Score {offer['score']:.1f} {offer['dlperf_per_dphtotal']:.1f} DLPerf per dollar" in shown
    assert f"({machine.reliability_lower:.1%} proven reliability)² \N{MULTIPLICATION SIGN} 100.0% fit" in shown
