"""What a container sends and receives is paid for: by the totals of its task, at the prices of the rental."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import Value
from django.db.models.functions import Concat
from structlog.testing import capture_logs

from agent.protocol import ObservedTask, Phase
from billing.domain.money import MICROS_PER_DOLLAR
from billing.models import Meter
from billing.selectors import host_earnings_micros, ledger_check, meter_total_micros, meter_totals_micros
from billing.services import settle_running
from hosting.domain.traffic import most_bytes
from hosting.services.listing import listing_set
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db

GB = 10**9
UP, DOWN = 20_000, 10_000
"""Micro-dollars per GB."""


def after(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine(inet_up_micros_per_gb=UP, inet_down_micros_per_gb=DOWN)


@pytest.fixture
def client() -> User:
    return market.user(dollars=100)


@pytest.fixture
def instance(agent: TestAgent, client: User) -> Instance:
    """Running since T0."""
    rented = instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return rented


def moved(instance: Instance, sent: int, received: int, phase: Phase = "running", **values: Any) -> ObservedTask:
    return ObservedTask(
        task_id=instance.task_id,
        phase=phase,
        run_generation=1,
        age_seconds=0.0,
        net_tx_bytes=sent,
        net_rx_bytes=received,
        **values,
    )


def charged(instance: Instance) -> tuple[int, int]:
    """Micro-dollars for bytes up and down."""
    totals = meter_totals_micros([f"instance:{instance.pk}:up", f"instance:{instance.pk}:down"], after(0))
    return totals[f"instance:{instance.pk}:up"], totals[f"instance:{instance.pk}:down"]


def test_bytes_are_charged_each_way_at_its_price(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), moved(instance, 2 * GB, 3 * GB))
    assert charged(instance) == (2 * UP, 3 * DOWN)
    agent.report(after(2), moved(instance, 2 * GB + GB // 2, 3 * GB))
    assert charged(instance) == (2 * UP + UP // 2, 3 * DOWN)
    assert {m.earner for m in Meter.objects.filter(kind="traffic")} == {f"machine:{agent.machine.pk}"}
    settle_running(now=after(2))
    gpu = meter_total_micros(f"instance:{instance.pk}:gpu", after(2))
    disk = meter_total_micros(f"instance:{instance.pk}:storage", after(2))
    whole = gpu + disk + 2 * UP + UP // 2 + 3 * DOWN
    assert abs(host_earnings_micros(agent.machine.host, after(2)) - whole * 3 // 4) < 4
    assert ledger_check(after(2)) == []


def test_the_prices_are_those_of_the_rental(agent: TestAgent, instance: Instance) -> None:
    dearer = market.terms(inet_up_micros_per_gb=MICROS_PER_DOLLAR, inet_down_micros_per_gb=MICROS_PER_DOLLAR)
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=dearer, now=after(0))
    agent.report(after(1), moved(instance, GB, GB))
    assert charged(instance) == (UP, DOWN)


def test_doubled_overtaken_and_shrunken_reports_charge_nothing_twice(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), moved(instance, GB, GB))
    agent.seq -= 1
    agent.report(after(2), moved(instance, 2 * GB, 2 * GB))  # the number of one that was taken already
    assert charged(instance) == (UP, DOWN)
    agent.report(after(3), moved(instance, GB // 2, 0))  # an agent that has lost its count
    assert charged(instance) == (UP, DOWN)
    agent.report(after(4), moved(instance, GB + GB // 4, GB))
    assert charged(instance) == (UP + UP // 4, DOWN)


@pytest.mark.parametrize(("sent", "received"), [(2**62, GB), (GB, 2**62), (2**63, 2**63), (2**80, 0), (-5, -5)])
def test_what_no_line_can_carry_is_not_believed(agent: TestAgent, instance: Instance, sent: int, received: int) -> None:
    with capture_logs() as logs:
        agent.report(after(1), moved(instance, sent, received))
    assert charged(instance) == (0, 0)
    believed = sent < 0
    assert [line["event"] for line in logs if "traffic" in line["event"]] == (
        [] if believed else ["task_traffic_beyond_belief"]
    )
    agent.report(after(2), moved(instance, GB, 2 * GB))
    assert charged(instance) == (UP, 2 * DOWN)


def test_what_comes_too_fast_is_believed_when_it_can_be(agent: TestAgent, instance: Instance) -> None:
    most = most_bytes(agent.machine.inet_up_mbps, after(0), after(1))
    agent.report(after(1), moved(instance, most + 1, 0))
    assert charged(instance) == (0, 0)
    agent.report(after(2), moved(instance, most + 1, 0))
    assert charged(instance) == ((most + 1) * UP // GB, 0)


def test_a_line_is_believed_twice_its_speed() -> None:
    assert most_bytes(4_000.0, T0, T0 + timedelta(seconds=1)) == GB
    assert most_bytes(5.0, T0, T0 + timedelta(seconds=4)) == GB
    assert most_bytes(5.0, T0, T0 - timedelta(seconds=4)) == 0


def test_the_last_bytes_of_a_run_are_charged_after_it(agent: TestAgent, client: User, instance: Instance) -> None:
    instance_stop(instance_id=instance.pk, actor=client, now=after(1))
    agent.report(after(2), moved(instance, GB, 0, phase="stopped"))
    assert charged(instance) == (UP, 0)


def test_what_is_reported_after_the_contract_is_nobodys(agent: TestAgent, client: User, instance: Instance) -> None:
    agent.report(after(1), moved(instance, GB, 0))
    instance_destroy(instance_id=instance.pk, actor=client, now=after(2))
    agent.report(after(3), moved(instance, 3 * GB, 0, phase="stopping"))
    assert charged(instance) == (UP, 0)
    assert Meter.objects.filter(kind="traffic", closed_at=after(2)).count() == 2


def test_free_traffic_has_no_meter(client: User) -> None:
    agent = market.listed_machine(inet_up_micros_per_gb=0, inet_down_micros_per_gb=DOWN)
    rented = instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    agent.report(after(1), moved(rented, GB, GB))
    assert meter_totals_micros([f"instance:{rented.pk}:up", f"instance:{rented.pk}:down"], after(1)) == {
        f"instance:{rented.pk}:down": DOWN
    }
    instance_destroy(instance_id=rented.pk, actor=client, now=after(2))


def test_a_contract_from_before_traffic_was_metered_goes_on(agent: TestAgent, client: User, instance: Instance) -> None:
    Meter.objects.filter(kind="traffic").update(reference=Concat(Value("other:"), "reference"))
    agent.report(after(1), moved(instance, GB, GB))
    instance_destroy(instance_id=instance.pk, actor=client, now=after(2))
    instance.task.refresh_from_db()
    assert instance.task.net_tx_bytes == GB
