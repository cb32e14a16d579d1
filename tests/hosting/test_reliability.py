"""Machines' reliability, from what agents, hosts and clients do to the figures on offers."""

from collections.abc import Collection
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from agent.protocol import FailureReason, ObservedTask, Phase
from hosting import hooks
from hosting.errors import HostingError
from hosting.models import Machine, MachineEvent, QuietPeriod, ReliabilityStanding
from hosting.services.listing import listing_end, min_bid_set
from hosting.services.offline import machine_mark_offline
from hosting.services.quiet_periods import (
    PULSE_MISSED_AFTER,
    maintenance_announce,
    maintenance_end,
    own_outage_record,
    pulse_beat,
)
from hosting.services.reliability import (
    performance_check_record,
    reliability_differences,
    reliability_refresh,
    reliability_sweep,
)
from marketplace.models import Instance, Offer
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def figures(agent: TestAgent) -> tuple[float, float]:
    machine = Machine.objects.get(pk=agent.machine.pk)
    return machine.reliability, machine.reliability_lower


def silent(agent: TestAgent, start: datetime, end: datetime) -> None:
    """The agent is last heard at ``start`` and back at ``end``."""
    agent.report(start)
    assert machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=start, now=start + timedelta(seconds=61))
    agent.report(end)


def test_a_machine_without_history_has_what_its_columns_say() -> None:
    agent = market.listed_machine()
    assert figures(agent) == (0.8855, 0.7963)
    assert reliability_sweep(now=T0) == 0
    assert reliability_sweep(now=T0 + timedelta(minutes=2)) == 0
    assert figures(agent) == (0.8855, 0.7963)
    assert reliability_sweep(now=T0 + timedelta(minutes=10)) == 1
    assert figures(agent) > (0.8855, 0.7963)


def test_listed_time_raises_it_and_offers_follow_under_the_same_id() -> None:
    agent = market.listed_machine()
    offer = market.offer(agent)
    assert reliability_sweep(now=T0 + 3 * DAY) == 1
    assert figures(agent) == (0.9141, 0.8371)
    offer.refresh_from_db()
    assert (offer.retired_at, offer.reliability, offer.reliability_lower) == (None, 0.9141, 0.8371)
    machine = agent.machine
    min_bid_set(machine_id=machine.pk, host=machine.host, micros_per_gpu_hour=100_000, now=T0 + 3 * DAY)
    assert market.offer(agent).pk == offer.pk


def test_going_on_day_by_day_is_what_the_command_computes_from_all_events() -> None:
    agent, other = market.listed_machine(), market.listed_machine()
    silent(agent, T0 + 5 * HOUR, T0 + 9 * HOUR)
    for hour in (7, 13, 37, 59.9):
        reliability_sweep(now=T0 + hour * HOUR)
        assert reliability_differences() == (2, [])
    silent(agent, T0 + 2 * DAY + 11.95 * HOUR, T0 + 3 * DAY + 12.2 * HOUR)
    performance_check_record(machine_id=agent.machine.pk, passed=False, at=T0 + 4 * DAY)
    listing_end(machine_id=other.machine.pk, host=other.machine.host, now=T0 + 4 * DAY)
    for hour in (98, 130, 131):
        reliability_sweep(now=T0 + hour * HOUR)
        assert reliability_differences() == (2, [])
    out = StringIO()
    call_command("reliability_recompute", stdout=out)
    assert out.getvalue() == "2 machines compared, 0 differ.\n"
    assert figures(agent) < figures(other)


def test_a_figure_that_the_events_do_not_bear_out_is_found_and_mended() -> None:
    agent = market.listed_machine()
    reliability_sweep(now=T0 + DAY)
    right = figures(agent)
    Machine.objects.filter(pk=agent.machine.pk).update(reliability=0.999)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("reliability_recompute", stdout=out)
    assert "stored 0.9990 (lower" in out.getvalue()
    reliability_refresh(machine_ids=[agent.machine.pk], now=T0 + DAY, from_scratch=True)
    assert figures(agent) == right
    assert call_command("reliability_recompute", stdout=StringIO()) is None


def test_an_outage_counts_from_the_last_sign_of_life() -> None:
    agent = market.listed_machine()
    silent(agent, T0 + HOUR, T0 + 3 * HOUR)
    reliability_sweep(now=T0 + DAY + HOUR)
    standing = ReliabilityStanding.objects.get(pk=agent.machine.pk)
    assert standing.as_of == T0 + 12 * HOUR
    assert standing.up_hours == pytest.approx(10, rel=0.01)
    assert standing.down_hours == pytest.approx(2, rel=0.02)


def test_an_outage_that_hits_a_rental_counts_five_hours_at_least() -> None:
    agent = market.listed_machine()
    client = market.user(dollars=50)
    instance_rent(client=client, offer_id=market.offer(agent, 1).pk, request=market.wish(), now=T0 + HOUR)
    agent.obey(T0 + HOUR)
    silent(agent, T0 + 2 * HOUR, T0 + 2 * HOUR + timedelta(minutes=5))
    reliability_sweep(now=T0 + DAY + HOUR)
    standing = ReliabilityStanding.objects.get(pk=agent.machine.pk)
    assert standing.down_hours == pytest.approx(5, rel=0.02)
    assert standing.launched == pytest.approx(1, rel=0.02)


def test_maintenance_that_was_announced_does_not_count() -> None:
    agent = market.listed_machine()
    start, end = T0 + 2 * HOUR, T0 + 6 * HOUR
    period = maintenance_announce(
        machine_id=agent.machine.pk, starts_at=start, ends_at=T0 + DAY, actor=None, note="New disk.", now=T0 + HOUR
    )
    silent(agent, start, end)
    maintenance_end(period_id=period.pk, actor=None, now=end)
    reliability_sweep(now=T0 + DAY + HOUR)
    standing = ReliabilityStanding.objects.get(pk=agent.machine.pk)
    assert standing.down_hours == 0
    assert standing.up_hours == pytest.approx(8, rel=0.01)
    assert reliability_differences() == (1, [])


def test_maintenance_can_not_be_announced_afterwards() -> None:
    agent = market.listed_machine()
    spans = {(T0 - HOUR, T0 + HOUR): "before it begins", (T0 + HOUR, T0 + HOUR): "before it ends"}
    spans |= {(T0 + HOUR, T0): "before it ends"}
    for (starts_at, ends_at), reason in spans.items():
        with pytest.raises(HostingError, match=reason):
            maintenance_announce(
                machine_id=agent.machine.pk, starts_at=starts_at, ends_at=ends_at, actor=None, note="", now=T0
            )
    assert not QuietPeriod.objects.exists()
    assert not MachineEvent.objects.filter(kind="maintenance_announced").exists()


def test_when_our_own_sweeper_was_away_nobody_was_down() -> None:
    agent = market.listed_machine()
    silent(agent, T0 + HOUR, T0 + 2 * HOUR)
    pulse_beat(now=T0 + 3 * HOUR)
    assert pulse_beat(now=T0 + 3 * HOUR + PULSE_MISSED_AFTER) is None
    outage = pulse_beat(now=T0 + 8 * HOUR)
    assert outage is not None
    assert (outage.starts_at, outage.ends_at) == (T0 + 3 * HOUR + PULSE_MISSED_AFTER, T0 + 8 * HOUR)
    reliability_sweep(now=T0 + DAY + HOUR)
    standing = ReliabilityStanding.objects.get(pk=agent.machine.pk)
    assert standing.down_hours == pytest.approx(1, rel=0.03)
    assert standing.up_hours == pytest.approx(6, rel=0.01)


def test_an_outage_of_ours_that_becomes_known_late_corrects_what_was_summed_up() -> None:
    agent = market.listed_machine()
    silent(agent, T0 + HOUR, T0 + 8 * HOUR)
    reliability_sweep(now=T0 + 2 * DAY)
    before = figures(agent)
    own_outage_record(starts_at=T0 + HOUR, ends_at=T0 + 8 * HOUR, actor=None, note="network", now=T0 + 2 * DAY)
    assert reliability_differences() == (1, [])
    assert reliability_sweep(now=T0 + 2 * DAY + HOUR) == 1
    assert ReliabilityStanding.objects.get(pk=agent.machine.pk).down_hours == 0
    assert figures(agent) > before
    assert reliability_differences() == (1, [])


def rented(agent: TestAgent) -> Instance:
    return instance_rent(
        client=market.user(dollars=50), offer_id=market.offer(agent, 1).pk, request=market.wish(), now=T0 + HOUR
    )


def seen(
    agent: TestAgent, instance: Instance, phase: Phase, reason: FailureReason | None, minute: int, run: int = 1
) -> None:
    agent.report(
        T0 + HOUR + timedelta(minutes=minute),
        ObservedTask(
            task_id=instance.task_id,
            phase=phase,
            run_generation=run,
            age_seconds=0.0,
            reason=reason,
            message="It is so.",
        ),
    )


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ([("pulling", None), ("running", None), ("exited", "exited")], [("launched", None)]),
        ([("failed", "gpu_unavailable"), ("failed", "gpu_unavailable")], [("launch_failed", "gpu_unavailable")]),
        ([("failed", "image_missing")], [("launch_failed", "image_missing")]),
        ([("running", None), ("failed", "container_lost")], [("launched", None), ("launch_failed", "container_lost")]),
    ],
)
def test_how_a_launch_went_is_recorded_once(
    phases: list[tuple[Phase, FailureReason | None]], told: list[tuple[str, str | None]]
) -> None:
    agent = market.listed_machine()
    instance = rented(agent)
    for minute, (phase, reason) in enumerate(phases):
        seen(agent, instance, phase, reason, minute)
    events = MachineEvent.objects.filter(kind__in=("launched", "launch_failed")).order_by("pk")
    assert [(event.kind, event.details.get("reason")) for event in events] == told
    assert all((event.details["task"], event.details["run"]) == (instance.task_id, 1) for event in events)


@pytest.mark.parametrize(("reason", "failures"), [("gpu_unavailable", 1), ("image_missing", 0), ("engine_error", 0)])
def test_only_failures_of_the_host_count(reason: FailureReason, failures: int) -> None:
    agent = market.listed_machine()
    seen(agent, rented(agent), "failed", reason, 0)
    reliability_sweep(now=T0 + 13 * HOUR)
    standing = ReliabilityStanding.objects.get(pk=agent.machine.pk)
    assert standing.launch_failed == pytest.approx(failures, rel=0.02)
    assert standing.launched == 0


def test_checks_of_performance_count_and_keep_what_was_measured() -> None:
    agent = market.listed_machine()
    event = performance_check_record(machine_id=agent.machine.pk, passed=True, at=T0 + HOUR, details={"gflops": 7})
    assert event.details == {"gflops": 7, "passed": True}
    performance_check_record(machine_id=agent.machine.pk, passed=False, at=T0 + HOUR)
    reliability_sweep(now=T0 + 13 * HOUR)
    standing = ReliabilityStanding.objects.get(pk=agent.machine.pk)
    assert (standing.checks_passed, standing.checks_failed) == pytest.approx((1, 1), rel=0.02)
    with pytest.raises(HostingError, match="no machine"):
        performance_check_record(machine_id=0, passed=True, at=T0)


def test_a_sweep_asks_no_more_for_many_machines_than_for_one(django_assert_max_num_queries: object) -> None:
    agents = [market.listed_machine() for _ in range(4)]
    reliability_sweep(now=T0 + DAY)
    with django_assert_max_num_queries(9):  # type: ignore[operator]  # pytest-django's fixture
        assert reliability_sweep(now=T0 + DAY + timedelta(seconds=1)) == 0
    assert len({figures(agent) for agent in agents}) == 1
    assert Offer.objects.filter(retired_at=None, reliability=figures(agents[0])[0]).count() == 12


def test_a_machine_at_which_it_fails_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile, other = market.listed_machine(), market.listed_machine()
    changed = hooks.market().reliability_changed

    def fails_for_one(machine_ids: Collection[int]) -> None:
        if hostile.machine.pk in machine_ids:
            raise ValueError("broken")
        changed(machine_ids)

    monkeypatch.setattr(hooks.market(), "reliability_changed", fails_for_one)
    assert reliability_sweep(now=T0 + DAY) == 1
    assert figures(hostile) == (0.8855, 0.7963)
    assert not ReliabilityStanding.objects.filter(pk=hostile.machine.pk).exists()
    assert figures(other) > (0.8855, 0.7963)


def test_a_sweep_that_was_overtaken_by_a_later_one_changes_nothing() -> None:
    agent = market.listed_machine()
    reliability_sweep(now=T0 + 3 * DAY)
    newer = figures(agent)
    reliability_refresh(machine_ids=[agent.machine.pk], now=T0 + DAY, from_scratch=True)
    assert figures(agent) == newer
    assert reliability_differences() == (1, [])
