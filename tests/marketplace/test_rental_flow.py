"""One rental from offer to receipt, through the services, with an agent that lives in the test."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from agent.protocol import ObservedTask
from billing.selectors import balance_micros, host_earnings_micros, ledger_check, meter_total_micros
from hosting.models import GpuClaim, PortLease
from hosting.services.listing import listing_set
from hosting.services.offline import machine_mark_offline
from marketplace.errors import MarketError
from marketplace.locks import lock_instance
from marketplace.models import Instance, Offer, User
from marketplace.services.credit import stop_exhausted
from marketplace.services.expiry import stop_expired
from marketplace.services.lifecycle import (
    instance_destroy,
    instance_label,
    instance_reboot,
    instance_start,
    instance_stop,
)
from marketplace.services.placement import WAITS_FOR_HANDOVER
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import DOLLAR, T0, TestAgent

pytestmark = pytest.mark.django_db


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def live_sizes(agent: TestAgent) -> dict[int, bool]:
    offers = Offer.objects.filter(machine=agent.machine, retired_at=None)
    return dict(offers.order_by("num_gpus").values_list("num_gpus", "rentable"))


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def client() -> User:
    return market.user(dollars=100)


def rent(agent: TestAgent, client: User, gpus: int = 1, at: float = 0, **values: Any) -> Instance:
    return instance_rent(
        client=client, offer_id=market.offer(agent, gpus).pk, request=market.wish(**values), now=after(at)
    )


def test_listing_makes_offers_of_doubling_sizes(agent: TestAgent) -> None:
    assert live_sizes(agent) == {1: True, 2: True, 4: True}
    offer = market.offer(agent, 2)
    assert (offer.gpu_micros_per_hour, offer.gpu_total_ram_mb, offer.disk_space_gb) == (1_000_000, 49152, 500)
    assert (offer.cpu_cores_effective, offer.country, offer.compute_cap, offer.driver_vers) == (
        16,
        "NO",
        860,
        550054015,
    )
    assert offer.dlperf == 49.8
    assert (offer.dlperf_is_estimate, offer.dlperf_source) == (False, "published")


def test_renting_starts_a_container_and_bills_seconds_times_rate(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, gpus=2)
    assert instance.state == "loading"
    assert live_sizes(agent) == {1: True, 2: True, 4: False}

    (task,) = agent.report(after(1)).tasks
    assert (task.state, task.run_generation, task.label) == ("running", 1, f"C.{instance.pk}")
    assert len(task.gpu_uuids) == 2
    assert task.spec.env["VAST_CONTAINERLABEL"] == f"C.{instance.pk}"
    assert task.spec.env["VAST_TCP_PORT_22"] == str(instance.ssh_port)
    assert task.spec.env["JUPYTER_TOKEN"] == instance.jupyter_token
    assert len(instance.jupyter_token) == 64
    assert [(p.container_port, p.host_port) for p in task.spec.ports] == [(22, instance.ssh_port)]
    assert (task.spec.cpu_cores, task.spec.ram_mb) == (16.0, 65536)

    agent.report(after(5), ObservedTask(task_id=task.task_id, phase="pulling", run_generation=1, age_seconds=1))
    instance.refresh_from_db()
    assert (instance.state, instance.status_message) == ("loading", "Pulling the image.")

    agent.obey(after(10))
    instance.refresh_from_db()
    assert instance.state == "running"
    assert instance.running_since == after(10)

    instance_stop(instance_id=instance.pk, actor=client, now=after(3610))
    agent.obey(after(3612))
    instance.refresh_from_db()
    assert instance.state == "stopped"
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(9999)) == 1_000_000
    storage = meter_total_micros(f"instance:{instance.pk}:storage", after(3610))
    assert storage == 1389  # 10 GB at ten cents a GB and month of 720 hours, rounded half up
    spent = 100 * DOLLAR - balance_micros(client, after(3610))
    assert spent == 1_000_000 + meter_total_micros(f"instance:{instance.pk}:storage", after(3610))
    assert host_earnings_micros(agent.machine.host, after(3610)) == pytest.approx(spent * 0.75, abs=2)

    instance_destroy(instance_id=instance.pk, actor=client, now=after(7210))
    agent.obey(after(7215))
    instance.refresh_from_db()
    assert (instance.state, instance.destroyed_at) == ("destroyed", after(7215))
    assert balance_micros(client, after(7210)) == balance_micros(client, after(99_999))
    assert agent.report(after(7220)).tasks == []
    assert not PortLease.objects.filter(released_at=None).exists()
    assert ledger_check(after(8000)) == []
    assert live_sizes(agent) == {1: True, 2: True, 4: True}


def test_gpus_are_free_only_when_the_agent_says_that_nothing_runs(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, gpus=4)
    agent.obey(after(10))
    instance_stop(instance_id=instance.pk, actor=client, now=after(20))
    assert live_sizes(agent) == {1: True, 2: True, 4: True}
    assert GpuClaim.objects.filter(released_at=None).count() == 4
    other = rent(agent, market.user(dollars=50), gpus=2, at=21)
    assert (other.state, other.status_message) == ("scheduling", WAITS_FOR_HANDOVER)
    agent.report(after(21.5))
    assert GpuClaim.objects.filter(released_at=None, task=instance.task).count() == 4
    agent.obey(after(22))
    other.refresh_from_db()
    assert other.state == "loading"
    assert GpuClaim.objects.filter(released_at=None).count() == 2


def test_stop_before_the_run_began_frees_gpus_only_on_the_agents_promise(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, gpus=4)
    (task,) = agent.report(after(1)).tasks
    instance_stop(instance_id=instance.pk, actor=client, now=after(2))
    old = ObservedTask(task_id=task.task_id, phase="stopped", run_generation=0, age_seconds=0)
    agent.report(after(3), old)
    assert GpuClaim.objects.filter(released_at=None).count() == 4
    agent.obey(after(4))
    assert GpuClaim.objects.filter(released_at=None).count() == 0
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(100)) == 0


def test_an_offer_is_sold_once_and_replaced_under_a_new_id(agent: TestAgent, client: User) -> None:
    offer = market.offer(agent, 1)
    instance_rent(client=client, offer_id=offer.pk, request=market.wish(), now=T0)
    rival = market.user(dollars=10)
    with pytest.raises(MarketError) as refused:
        instance_rent(client=rival, offer_id=offer.pk, request=market.wish(), now=T0)
    assert (refused.value.code, refused.value.status) == ("no_such_ask", 410)
    assert market.offer(agent, 1).pk != offer.pk
    with pytest.raises(MarketError) as unknown:
        instance_rent(client=rival, offer_id=10**9, request=market.wish(), now=T0)
    assert (unknown.value.code, unknown.value.status) == ("no_such_ask", 404)


def test_a_retried_request_returns_the_same_instance(agent: TestAgent, client: User) -> None:
    offer = market.offer(agent, 1)
    first = instance_rent(client=client, offer_id=offer.pk, request=market.wish(), now=T0)
    again = instance_rent(client=client, offer_id=offer.pk, request=market.wish(), now=after(30))
    assert again.pk == first.pk
    assert Instance.objects.count() == 1
    with pytest.raises(MarketError) as refused:
        instance_rent(client=client, offer_id=offer.pk, request=market.wish(image="debian:12"), now=after(31))
    assert refused.value.code == "no_such_ask"


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"image": "Not an image"}, "invalid_args", "image"),
        ({"disk_gb": 1}, "invalid_args", "disk_gb"),
        ({"disk_gb": 251}, "disk_too_large", "disk_gb"),
        ({"env": {"1X": "y"}}, "invalid_args", "env"),
        ({"env": {"VAST_CONTAINERLABEL": "C.1"}}, "invalid_args", "env"),
        ({"env": {"JUPYTER_TOKEN": "mine"}}, "invalid_args", "env"),
        ({"env": {"VAST_TCP_PORT_8080": "1"}}, "invalid_args", "env"),
        ({"env": {"SPOTYARD_BOOT": "reboot"}}, "invalid_args", "env"),
        ({"label": "x" * 257}, "invalid_args", "label"),
        ({"ports": ((70000, "tcp"),)}, "invalid_args", "ports"),
    ],
)
def test_nonsense_is_refused_by_field_and_leaves_nothing(
    agent: TestAgent, client: User, values: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(MarketError) as refused:
        rent(agent, client, **values)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert Instance.objects.count() == 0
    assert balance_micros(client, after(9999)) == 100 * DOLLAR


def test_no_credit_and_own_machine_are_refused(agent: TestAgent) -> None:
    with pytest.raises(MarketError) as poor:
        rent(agent, market.user())
    assert (poor.value.code, poor.value.status) == ("no_credit", 402)
    market.grant(agent.machine.host, 5)
    with pytest.raises(MarketError) as own:
        rent(agent, agent.machine.host)
    assert own.value.code == "own_machine"
    assert live_sizes(agent) == {1: True, 2: True, 4: True}


def test_failure_to_start_shows_the_reason_and_costs_nothing(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, gpus=4)
    (task,) = agent.report(after(1)).tasks
    agent.report(
        after(5),
        ObservedTask(
            task_id=task.task_id,
            phase="failed",
            run_generation=1,
            age_seconds=0,
            reason="image_missing",
            message="The image ubuntu:22.04 does not exist.",
        ),
    )
    instance.refresh_from_db()
    assert (instance.state, instance.status_message) == ("error", "The image ubuntu:22.04 does not exist.")
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(100)) == 0
    assert live_sizes(agent) == {1: True, 2: True, 4: True}


def test_exit_of_the_command_ends_charging_at_the_moment_it_ended(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, mode="args", args=("true",))
    agent.obey(after(10))
    agent.report(
        after(30),
        ObservedTask(
            task_id=instance.task_id, phase="exited", run_generation=1, age_seconds=4, exit_code=3, reason="exited"
        ),
    )
    instance.refresh_from_db()
    assert instance.state == "exited"
    assert "exit code 3" in instance.status_message
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(99)) == 500_000 * 16 // 3600
    started = instance_start(instance_id=instance.pk, actor=client, now=after(60))
    assert started.state == "loading"
    assert agent.report(after(61)).tasks[0].run_generation == 2


def test_restart_waits_for_gpus_that_others_hold_and_starts_by_itself(agent: TestAgent, client: User) -> None:
    first = rent(agent, client, gpus=4)
    agent.obey(after(10))
    instance_stop(instance_id=first.pk, actor=client, now=after(20))
    agent.obey(after(21))
    second = rent(agent, market.user(dollars=50), gpus=4, at=30)
    agent.obey(after(31))
    waiting = instance_start(instance_id=first.pk, actor=client, now=after(40))
    assert (waiting.state, waiting.status_message) == (
        "scheduling",
        "Waiting for 4 of the machine's 4 GPUs: on-demand rentals use 4. It starts as soon as they are free.",
    )
    assert meter_total_micros(f"instance:{first.pk}:gpu", after(50)) == 500_000 * 4 * 10 // 3600
    instance_destroy(instance_id=second.pk, actor=second.client, now=after(60))
    agent.obey(after(61))
    first.refresh_from_db()
    assert first.state == "loading"
    agent.obey(after(63))
    first.refresh_from_db()
    assert first.state == "running"


def test_stop_and_start_at_once_runs_again_where_the_container_is_ending(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, gpus=1)
    before = agent.obey(after(10)).tasks[0].gpu_uuids
    instance_stop(instance_id=instance.pk, actor=client, now=after(20))
    assert instance_start(instance_id=instance.pk, actor=client, now=after(20.1)).state == "loading"
    (task,) = agent.report(after(22)).tasks
    assert (task.state, task.run_generation, task.gpu_uuids) == ("running", 2, before)
    assert GpuClaim.objects.filter(released_at=None).count() == 1
    agent.obey(after(23))
    instance.refresh_from_db()
    assert instance.state == "running"


def test_reboot_keeps_the_gpus_and_is_not_charged_while_loading(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    agent.obey(after(0))
    instance_reboot(instance_id=instance.pk, actor=client, now=after(3600))
    assert GpuClaim.objects.filter(released_at=None).count() == 1
    agent.obey(after(3700))
    instance.refresh_from_db()
    assert instance.state == "running"
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(7300)) == 1_000_000


def test_credit_used_up_stops_the_instance_and_charges_no_second_more(agent: TestAgent) -> None:
    client = market.user(dollars=1)
    instance = rent(agent, client, gpus=1)
    agent.obey(after(0))
    assert stop_exhausted(now=after(3600)) == 0
    assert stop_exhausted(now=after(7300)) == 1
    instance.refresh_from_db()
    assert instance.state == "stopping"
    assert "credit is used up" in instance.status_message
    agent.obey(after(7305))
    instance.refresh_from_db()
    assert instance.state == "stopped"
    gpu = meter_total_micros(f"instance:{instance.pk}:gpu", after(9000))
    storage_at_zero = meter_total_micros(f"instance:{instance.pk}:storage", after(9000))
    assert gpu + storage_at_zero - DOLLAR < 1000
    with pytest.raises(MarketError) as refused:
        instance_start(instance_id=instance.pk, actor=client, now=after(9000))
    assert refused.value.code == "no_credit"


def test_an_offline_machine_is_not_charged_and_not_offered(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    agent.obey(after(0))
    assert machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=after(0), now=after(60))
    assert live_sizes(agent) == {1: False, 2: False, 4: False}
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(3600)) == 0
    agent.report(after(3600))
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(7200)) == 500_000
    assert live_sizes(agent) == {1: True, 2: True, 4: False}


def test_engine_trouble_takes_the_offers_off_the_market(agent: TestAgent) -> None:
    agent.report(after(5), engine_error="Docker does not answer.")
    assert live_sizes(agent) == {1: False, 2: False, 4: False}
    agent.report(after(9))
    assert live_sizes(agent) == {1: True, 2: True, 4: True}


def test_label(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    instance_label(instance_id=instance.pk, actor=client, label="training", now=after(1))
    instance.refresh_from_db()
    assert instance.label == "training"


def test_the_lifetime_of_the_offer_ends_the_instance_and_later_listings_do_not_change_it(
    agent: TestAgent, client: User
) -> None:
    end = T0 + timedelta(days=90)
    market.grant(client, 2000)
    instance = rent(agent, client)
    agent.obey(after(0))
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(end_at=after(60)), now=T0)
    assert stop_expired(now=after(3600)) == 0
    assert stop_expired(now=end + timedelta(seconds=3)) == 1
    instance.refresh_from_db()
    assert (instance.state, instance.end_at) == ("stopping", end)
    assert "lifetime is over" in instance.status_message
    assert meter_total_micros(f"instance:{instance.pk}:gpu", end + timedelta(days=1)) == 500_000 * 24 * 90
    agent.obey(end + timedelta(seconds=5))
    with pytest.raises(MarketError) as refused:
        instance_start(instance_id=instance.pk, actor=client, now=end + timedelta(seconds=9))
    assert refused.value.code == "expired"


def test_a_reboot_of_the_host_starts_the_instance_anew_and_is_not_charged(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    agent.obey(after(0))
    agent.report(after(3000), engine_error="Docker does not answer.")
    ended = ObservedTask(
        task_id=instance.task_id,
        phase="exited",
        run_generation=1,
        age_seconds=1400,
        reason="engine_down",
        message="The host was restarted.",
    )
    agent.session_id = "after the reboot"
    agent.report(after(5000), ended)
    instance.refresh_from_db()
    assert (instance.state, instance.wants_running) == ("loading", True)
    agent.obey(after(5010))
    instance.refresh_from_db()
    assert instance.state == "running"
    assert meter_total_micros(f"instance:{instance.pk}:gpu", after(5010)) == 500_000


def test_a_container_returns_to_its_own_gpus_where_free_and_else_to_others(agent: TestAgent, client: User) -> None:
    first = rent(agent, client, gpus=1)
    before = agent.obey(after(1)).tasks[0].gpu_uuids
    instance_stop(instance_id=first.pk, actor=client, now=after(2))
    agent.obey(after(3))
    instance_start(instance_id=first.pk, actor=client, now=after(4))
    assert agent.obey(after(5)).tasks[0].gpu_uuids == before
    instance_stop(instance_id=first.pk, actor=client, now=after(6))
    agent.obey(after(7))
    rent(agent, market.user(dollars=50), gpus=1, at=8)
    agent.obey(after(9))
    assert instance_start(instance_id=first.pk, actor=client, now=after(10)).state == "loading"
    mine, others = agent.obey(after(11)).tasks
    assert others.gpu_uuids == before
    assert mine.gpu_uuids != before


def test_a_start_that_fails_costs_nothing_not_even_storage(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    failed = ObservedTask(
        task_id=instance.task_id, phase="failed", run_generation=1, age_seconds=0, reason="image_missing", message="No."
    )
    agent.report(after(5), failed)
    assert balance_micros(client, after(99_999)) == 100 * DOLLAR
    instance_start(instance_id=instance.pk, actor=client, now=after(100_000))
    agent.obey(after(100_001))
    assert balance_micros(client, after(103_601)) == 100 * DOLLAR - 500_000 - 1389


def test_a_container_deleted_on_the_host_is_an_error_and_costs_no_more(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    agent.obey(after(0))
    instance_stop(instance_id=instance.pk, actor=client, now=after(3600))
    agent.obey(after(3600))
    lost = ObservedTask(
        task_id=instance.task_id,
        phase="failed",
        run_generation=1,
        age_seconds=0,
        reason="container_lost",
        message="The container was deleted on the host.",
    )
    agent.report(after(7200), lost)
    instance.refresh_from_db()
    assert instance.state == "error"
    assert "deleted on the host" in instance.status_message
    assert balance_micros(client, after(99_999)) == balance_micros(client, after(7200))
    with pytest.raises(MarketError) as refused:
        instance_start(instance_id=instance.pk, actor=client, now=after(9000))
    assert refused.value.code == "disk_lost"
    instance_destroy(instance_id=instance.pk, actor=client, now=after(9001))


def test_an_hour_of_credit_opens_an_hour_of_rentals_and_no_more(agent: TestAgent) -> None:
    client = market.user(dollars=1)
    rent(agent, client, gpus=1)
    with pytest.raises(MarketError) as refused:
        rent(agent, client, gpus=1, label="second")
    assert (refused.value.code, refused.value.status) == ("no_credit", 402)


def test_one_instance_that_can_not_be_stopped_does_not_keep_a_sweep_from_the_others(
    agent: TestAgent, client: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.grant(client, 9000)
    stuck, other = rent(agent, client, label="stuck"), rent(agent, client, label="other")
    agent.obey(after(0))

    def broken(instance_id: int) -> Instance:
        if instance_id == stuck.pk:
            raise RuntimeError("broken row")
        return lock_instance(instance_id)

    monkeypatch.setattr("marketplace.services.expiry.lock_instance", broken)
    assert stop_expired(now=T0 + timedelta(days=91)) == 1
    other.refresh_from_db()
    assert other.state == "stopping"
