"""What agents report: doubled, reordered, late, with wrong clocks, and from machines that went away."""

import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from agent.protocol import ObservedTask, Phase
from hosting import hooks
from hosting.errors import HostingError
from hosting.gateways import presence
from hosting.models import Machine, MachineEvent, Task, TaskEvent
from hosting.services.offline import machine_mark_offline, machines_sweep_offline
from marketplace.models import Instance, Offer
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def instance(agent: TestAgent) -> Instance:
    return instance_rent(client=market.user(dollars=10), offer_id=market.offer(agent).pk, request=market.wish(), now=T0)


def seen(instance: Instance, phase: Phase, run: int = 1, age: float = 0.0, **values: Any) -> ObservedTask:
    return ObservedTask(task_id=instance.task_id, phase=phase, run_generation=run, age_seconds=age, **values)


def state(instance: Instance) -> str:
    instance.refresh_from_db()
    return str(instance.state)


def test_a_report_without_news_writes_nothing_to_the_database(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), seen(instance, "running"))
    with CaptureQueriesContext(connection) as queries:
        agent.report(after(2), seen(instance, "running", age=1.0))
    assert [q["sql"] for q in queries if not q["sql"].startswith("SELECT")] == []
    assert presence.last_seen(agent.machine.pk) == after(2)


def test_the_same_report_twice_changes_nothing(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), seen(instance, "running"))
    events = TaskEvent.objects.count()
    agent.seq -= 1
    agent.report(after(5), seen(instance, "running", age=4))
    assert TaskEvent.objects.count() == events
    assert state(instance) == "running"


def test_an_overtaken_report_is_dropped(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), seen(instance, "running"))
    agent.report(after(2), seen(instance, "exited", exit_code=0))
    agent.seq -= 2
    agent.report(after(3), seen(instance, "running"))
    assert state(instance) == "exited"


def test_a_new_session_of_the_agent_supersedes_the_old_one(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), seen(instance, "running"))
    old = (agent.session_id, agent.seq)
    agent.session_id, agent.seq = secrets.token_hex(8), 0
    agent.report(after(10), seen(instance, "exited", exit_code=1), session_started_age_seconds=1.0)
    assert state(instance) == "exited"
    agent.session_id, agent.seq = old
    agent.report(after(11), seen(instance, "running"), session_started_age_seconds=100.0)
    assert state(instance) == "exited"


def test_a_wrong_clock_can_shift_a_start_only_back_to_the_last_contact(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(8))
    agent.report(after(10), seen(instance, "running", age=5000))
    assert state(instance) == "running"
    assert instance.running_since == after(8)


def test_a_start_in_the_future_counts_from_now(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(10), seen(instance, "running", age=-500))
    assert state(instance) == "running"
    assert instance.running_since == after(10)


def test_news_of_an_earlier_run_is_ignored(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), seen(instance, "exited", run=0))
    assert state(instance) == "loading"


@pytest.mark.parametrize("run", [2, 2**31 - 1, 2**70])
def test_a_run_that_was_never_asked_for_is_not_taken(agent: TestAgent, instance: Instance, run: int) -> None:
    agent.report(after(1), seen(instance, "running"))
    with capture_logs() as logs:
        agent.report(after(2), seen(instance, "exited", run=run, exit_code=0))
    (said,) = [line for line in logs if line["event"] == "task_report_of_no_run"]
    assert (said["log_level"], said["task_id"], said["wanted"], said["reported"]) == (
        "warning",
        instance.task_id,
        1,
        run,
    )
    assert state(instance) == "running"
    agent.report(after(3), seen(instance, "exited", exit_code=0))
    assert state(instance) == "exited"


def test_changed_hardware_replaces_the_offers(agent: TestAgent) -> None:
    before = set(Offer.objects.filter(retired_at=None).values_list("pk", flat=True))
    gpus = [market.gpu(i) for i in range(2)]
    changed = msgspec.structs.replace(market.inventory(2), gpus=gpus, driver_version="560.1.2")
    agent.report(after(5), inventory=changed)
    live = Offer.objects.filter(retired_at=None)
    assert sorted(live.values_list("num_gpus", "driver_version")) == [(1, "560.1.2"), (2, "560.1.2")]
    assert not before & set(live.values_list("pk", flat=True))


def test_a_report_of_a_removed_machine_changes_nothing_about_it(agent: TestAgent) -> None:
    """What becomes of its containers is all that is taken in: tests/hosting/test_removal.py."""
    Machine.objects.filter(pk=agent.machine.pk).update(removed_at=T0, online=False)
    agent.report(after(1), engine_error="x", relay_key="ssh-ed25519 AAAA")
    agent.machine.refresh_from_db()
    assert (agent.machine.online, agent.machine.engine_error, agent.machine.relay_key) == (False, "", None)


def sweep(seconds: float) -> int:
    return machines_sweep_offline(now=after(seconds))


def test_a_silent_machine_goes_offline_and_comes_back(agent: TestAgent) -> None:
    sweep(0)
    sweep(10)
    agent.report(after(10))
    assert [sweep(s) for s in range(15, 70, 5)] == [0] * 11
    assert sweep(71) == 1
    agent.machine.refresh_from_db()
    assert not agent.machine.online
    assert not Offer.objects.filter(retired_at=None, rentable=True).exists()
    agent.report(after(80))
    assert Machine.objects.filter(pk=agent.machine.pk, online=True).exists()
    assert Offer.objects.filter(retired_at=None, rentable=True).count() == 3
    kinds = MachineEvent.objects.filter(machine=agent.machine).order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["registered", "online", "listed", "offline", "online"]


def test_a_run_that_began_out_of_reach_is_charged_from_the_return_only(agent: TestAgent, instance: Instance) -> None:
    sweep(0)
    assert [sweep(s) for s in range(10, 70, 10)][-1] == 1
    agent.report(after(500), seen(instance, "running", age=400))
    assert state(instance) == "running"
    assert instance.running_since == after(500)


def test_without_a_known_contact_a_start_counts_from_the_last_one_written_down(
    agent: TestAgent, instance: Instance
) -> None:
    agent.report(after(50), engine_error="down")
    presence.client().delete(presence.SEEN)
    agent.report(after(60), seen(instance, "running", age=400))
    assert state(instance) == "running"
    assert instance.running_since == after(50)


def test_our_own_outage_counts_for_nobody(agent: TestAgent) -> None:
    agent.report(after(0))
    presence.client().delete(presence.SWEEP)
    assert sweep(600) == 0  # the first sweep after a gap: silence may be our fault
    assert sweep(605) == 0
    agent.machine.refresh_from_db()
    assert agent.machine.online
    assert sweep(661) == 1


@pytest.mark.usefixtures("agent")
def test_losing_redis_data_marks_nobody_offline() -> None:
    sweep(0)
    presence.client().delete(presence.SEEN)
    assert sweep(5) == 0
    assert sweep(60) == 0
    assert sweep(66) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"message": "pull failed:\x00\x1b[31m no"},
        {"exit_code": 2**60},
        {"disk_used_mb": 2**60, "net_rx_bytes": 2**63, "net_tx_bytes": 2**63},
        {"age": 1e300},
    ],
)
def test_what_no_database_can_store_is_made_to_fit(
    agent: TestAgent, instance: Instance, values: dict[str, Any]
) -> None:
    agent.report(after(1), seen(instance, "running"))
    agent.report(after(2), seen(instance, "exited", **({"exit_code": 0} | values)))
    assert state(instance) == "exited"
    assert "\x00" not in instance.status_message
    assert "\x1b" not in instance.status_message


def test_texts_about_the_machine_lose_their_control_characters(agent: TestAgent) -> None:
    facts = msgspec.structs.replace(market.inventory(4), hostname="rig\x00\u202e-1", gpus=[market.gpu(0)])
    agent.report(after(1), engine_error="no\x00 engine", inventory=facts, agent_version="1\x00.0")
    agent.machine.refresh_from_db()
    assert (agent.machine.hostname, agent.machine.engine_error) == ("rig-1", "no engine")


def test_a_task_that_can_not_be_written_holds_up_no_other_and_is_tried_again(
    agent: TestAgent, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = market.user(dollars=10)
    other = instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    market_hooks = hooks.market()
    observe = market_hooks.task_observed

    def fails_for_one(task: Task, now: datetime) -> None:
        if task.pk == instance.task_id:
            raise ValueError("broken")
        observe(task, now)

    with monkeypatch.context() as broken:
        broken.setattr(market_hooks, "task_observed", fails_for_one)
        agent.report(after(1), seen(instance, "running"), seen(other, "running"))
    assert (state(instance), state(other)) == ("loading", "running")
    agent.report(after(2))
    assert state(instance) == "running"


def test_a_report_that_fails_is_no_sign_of_life(agent: TestAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_task_ids: list[int], _owner_ids: set[int]) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(hooks.market(), "tasks_reported", fails)
    with pytest.raises(ValueError, match="broken"):
        agent.report(after(30), engine_error="x")
    assert presence.last_seen(agent.machine.pk) == T0


def test_a_report_written_while_the_sweep_looks_keeps_the_machine_online(agent: TestAgent) -> None:
    agent.report(after(100), engine_error="x")
    presence.client().zadd(presence.SEEN, {str(agent.machine.pk): T0.timestamp()})  # its heartbeat is still to come
    assert not machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=after(100))


@pytest.mark.parametrize("facts", [{"gpus": []}, {"disk_total_gb": 1}, {"port_first": 0}])
def test_a_bad_inventory_keeps_the_old_facts_and_the_tasks_go_on(
    agent: TestAgent, instance: Instance, facts: dict[str, Any]
) -> None:
    bad = msgspec.structs.replace(market.inventory(4), **({"hostname": "other"} | facts))
    reply = agent.report(after(5), seen(instance, "running"), inventory=bad)
    assert (state(instance), [task.task_id for task in reply.tasks]) == ("running", [instance.task_id])
    agent.machine.refresh_from_db()
    assert (agent.machine.hostname, agent.machine.gpu_count) == ("rig-1", 4)
    assert "refused" in agent.machine.engine_error
    assert MachineEvent.objects.filter(kind="inventory_refused").count() == 1
    assert not Offer.objects.filter(retired_at=None, rentable=True).exists()


def test_a_good_inventory_ends_the_trouble_of_a_bad_one(agent: TestAgent) -> None:
    agent.report(after(5), inventory=market.inventory(0))
    agent.report(after(6))
    agent.machine.refresh_from_db()
    assert agent.machine.engine_error
    agent.report(after(7), inventory=market.inventory(4))
    agent.machine.refresh_from_db()
    assert (agent.machine.engine_error, agent.machine.inventory_problem) == ("", "")
    assert Offer.objects.filter(retired_at=None, rentable=True).exists()


def test_a_stolen_gpu_refuses_the_inventory_but_not_the_tasks(agent: TestAgent, instance: Instance) -> None:
    theirs = market.inventory(1)
    market.register(market.user(), theirs)
    agent.report(after(5), seen(instance, "running"), inventory=theirs)
    assert state(instance) == "running"
    agent.machine.refresh_from_db()
    assert "belongs to another" in agent.machine.engine_error
    assert agent.machine.gpu_count == 4


@pytest.mark.parametrize(
    ("before", "facts", "after_it"),
    [
        ("verified", {"simulated": False}, "unverified"),
        ("verified", {"gpus": [market.gpu()]}, "unverified"),
        ("verified", {"gpus": [market.gpu(i, model="RTX 4090") for i in range(4)]}, "unverified"),
        ("verified", {"hostname": "rig-2"}, "verified"),
        ("deverified", {"simulated": False}, "deverified"),
    ],
)
def test_a_verification_ends_with_the_gpus_that_were_verified(
    agent: TestAgent, before: str, facts: dict[str, Any], after_it: str
) -> None:
    Machine.objects.filter(pk=agent.machine.pk).update(verification=before)
    same = [market.gpu(gpu.index, uuid=gpu.uuid) for gpu in agent.machine.gpus.order_by("index")]
    agent.report(after(1), inventory=msgspec.structs.replace(market.inventory(4, gpus=same), **facts))
    agent.machine.refresh_from_db()
    assert agent.machine.verification == after_it
    events = MachineEvent.objects.filter(machine=agent.machine, kind="unverified")
    assert events.exists() == (before != after_it)


def test_an_older_report_never_takes_the_place_of_a_newer_one(agent: TestAgent, instance: Instance) -> None:
    agent.report(after(1), seen(instance, "running"))
    presence.report_handled(agent.machine.pk, agent.session_id, agent.seq + 5, "newer")
    presence.report_handled(agent.machine.pk, agent.session_id, agent.seq + 4, "older")
    assert presence.report_known(agent.machine.pk, agent.session_id, agent.seq + 6, "newer")
    agent.report(after(2), seen(instance, "exited", exit_code=0))  # overtaken by the newer one
    assert state(instance) == "running"
    assert presence.report_known(agent.machine.pk, agent.session_id, agent.seq + 6, "newer")


def test_a_new_session_begins_its_numbers_anew(agent: TestAgent) -> None:
    presence.report_handled(agent.machine.pk, "old", 50, "x")
    presence.report_handled(agent.machine.pk, "new", 1, "y")
    assert presence.report_known(agent.machine.pk, "new", 2, "y")


def test_a_superseded_session_never_comes_back_however_late_its_request(agent: TestAgent, instance: Instance) -> None:
    old = (agent.session_id, agent.seq)
    agent.session_id, agent.seq = secrets.token_hex(8), 0
    agent.report(after(1), seen(instance, "running"), session_started_age_seconds=0.5)
    agent.session_id, agent.seq = old
    # Underway for so long that its age, told when it was sent, makes the old session look like the younger one.
    agent.report(after(100), seen(instance, "exited", exit_code=1), session_started_age_seconds=10.0)
    assert state(instance) == "running"
    assert presence.last_seen(agent.machine.pk) == after(1)


@pytest.mark.parametrize("values", [{"seq": 2**63}, {"seq": -1}, {"session_id": "a\x00"}, {"session_id": "a" * 65}])
def test_a_session_without_sense_is_refused(agent: TestAgent, values: dict[str, Any]) -> None:
    with pytest.raises(HostingError) as refused:
        agent.report(after(1), **values)
    assert refused.value.code == "bad_session"


def test_a_report_has_at_most_2000_tasks(agent: TestAgent, instance: Instance) -> None:
    with pytest.raises(HostingError) as refused:
        agent.report(after(1), tasks=[seen(instance, "running")] * 2001)
    assert refused.value.code == "too_many_tasks"


def test_a_late_word_of_a_dead_session_shuts_out_the_living_one_for_no_longer_than_a_silence(
    agent: TestAgent, instance: Instance
) -> None:
    living, dead = secrets.token_hex(8), secrets.token_hex(8)
    sweep(0)
    agent.session_id, agent.seq = living, 0
    agent.report(after(2), seen(instance, "running"), session_started_age_seconds=1.0)
    # Sent before the living session began, but so long underway that the dead one looks like the younger.
    agent.session_id, agent.seq = dead, 0
    agent.report(after(10), session_started_age_seconds=0.0)
    agent.session_id, agent.seq = living, 1
    agent.report(after(11), seen(instance, "exited", exit_code=1), session_started_age_seconds=10.0)
    assert state(instance) == "running"

    for seconds in range(15, 75, 15):
        sweep(seconds)
    assert sweep(75) == 1
    agent.report(after(76), session_started_age_seconds=75.0)
    assert state(instance) == "exited"
    agent.machine.refresh_from_db()
    assert agent.machine.online
    assert agent.machine.session_id == living
