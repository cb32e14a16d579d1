"""Idle jobs: on every GPU that nobody else uses, on no other, and never in anybody's way."""

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from agent.protocol import DesiredTask, ObservedTask, Phase
from hosting import hooks
from hosting.locks import lock_machine
from hosting.models import Gpu, GpuClaim, IdleJob, IdleTask, Machine, MachineEvent, Task
from hosting.selectors import bid_floor_micros, free_gpus, idle_floor_micros
from hosting.services.idle_jobs import (
    idle_job_remove,
    idle_job_set,
    idle_jobs_due,
    idle_jobs_restart,
    idle_tasks_apply,
)
from hosting.services.tasks import task_create, task_run, task_stop
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Machines of which the market was told that they changed. It does nothing about it: the tests are the market."""
    ids: list[int] = []
    monkeypatch.setattr(hooks.market(), "machine_changed", lambda machine, _now: ids.append(machine.pk))
    return ids


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def gpus(agent: TestAgent) -> list[int]:
    """Ids of the machine's four GPUs."""
    return list(agent.machine.gpus.order_by("index").values_list("pk", flat=True))


def set_job(agent: TestAgent, now: datetime = T0, **values: Any) -> IdleJob:
    asked: dict[str, Any] = {"image": "ubuntu", "args": ["bash"], "price_micros_per_gpu_hour": 100_000} | values
    return idle_job_set(machine_id=agent.machine.pk, host=agent.machine.host, now=now, **asked)


def apply(agent: TestAgent, gpu_ids: Collection[int], now: datetime = T0) -> None:
    """What the clearing does at the end of every change."""
    with transaction.atomic():
        machine = lock_machine(agent.machine.pk)
        free = [gpu.pk for gpu in free_gpus(machine)]
        idle_tasks_apply(machine=machine, gpu_ids=gpu_ids, free_gpu_ids=free, now=now)


def holders() -> dict[int, str]:
    """The kind of task that holds each GPU."""
    return dict(GpuClaim.objects.filter(released_at=None).values_list("gpu_id", "task__kind"))


def task_on(gpu_id: int) -> Task:
    """The newest idle task of the GPU."""
    return IdleTask.objects.select_related("task").filter(gpu_id=gpu_id).latest("pk").task


def say(agent: TestAgent, task: Task, phase: Phase, now: datetime, **values: Any) -> None:
    task.refresh_from_db()
    agent.report(
        now,
        ObservedTask(task_id=task.pk, phase=phase, run_generation=task.run_generation, age_seconds=0.0, **values),
    )


def other_task(agent: TestAgent, gpu_id: int, now: datetime) -> Task:
    """Somebody rents the GPU."""
    with transaction.atomic():
        machine = lock_machine(agent.machine.pk)
        task = task_create(machine=machine, kind=Task.Kind.INSTANCE, label="C.1", authorized_keys=[], now=now)
        Task.objects.filter(pk=task.pk).update(spec=Task.objects.filter(kind="idle_job").values("spec")[:1])
        task.refresh_from_db()
        task.machine = machine
        task_run(task=task, gpus=[Gpu.objects.get(pk=gpu_id)], now=now)
    return task


def writes(queries: CaptureQueriesContext) -> list[str]:
    plain = ("SELECT", "SAVEPOINT", "RELEASE SAVEPOINT")
    return [q["sql"] for q in queries if not q["sql"].startswith(plain)]


def test_one_container_on_each_gpu_with_its_share_of_the_machine(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus)
    told = agent.report(T0).tasks
    assert len(told) == 4
    assert [len(task.gpu_uuids) for task in told] == [1, 1, 1, 1]
    spec = told[0].spec
    assert (spec.image, spec.mode, spec.args, spec.entrypoint, spec.ports) == ("ubuntu", "args", ["bash"], None, [])
    assert (spec.cpu_cores, spec.ram_mb, spec.disk_gb) == (8.0, 32768, 10)
    label = f"J.{agent.machine.pk}.0"
    assert (told[0].label, spec.hostname) == (label, label)
    assert spec.env == {"VAST_CONTAINERLABEL": label, "GPU_COUNT": "1"}
    assert told[0].authorized_keys == []
    assert holders() == dict.fromkeys(gpus, "idle_job")


def test_asking_again_writes_nothing(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus[:3])
    for change in (lambda: None, lambda: agent.obey(after(1)), lambda: set_job(agent, price_micros_per_gpu_hour=5)):
        change()
        machine = Machine.objects.get(pk=agent.machine.pk)
        with CaptureQueriesContext(connection) as queries:
            idle_tasks_apply(machine=machine, gpu_ids=gpus[:3], free_gpu_ids=gpus[3:], now=after(2))
        assert writes(queries) == []
        assert len(queries) == 2


def test_a_machine_without_idle_job_is_asked_once(agent: TestAgent, gpus: list[int]) -> None:
    machine = Machine.objects.get(pk=agent.machine.pk)
    for queries_needed in (1, 0):
        with CaptureQueriesContext(connection) as queries:
            idle_tasks_apply(machine=machine, gpu_ids=gpus, free_gpu_ids=gpus, now=T0)
        assert len(queries) == queries_needed
    assert not IdleTask.objects.exists()


def test_it_makes_way_at_once_and_comes_back_at_once(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus)
    agent.obey(after(1))
    apply(agent, gpus[1:], after(2))
    task = task_on(gpus[0])
    (stopped,) = [told for told in agent.report(after(2)).tasks if told.state == "stopped"]
    assert (stopped.task_id, stopped.stop_grace_seconds, stopped.notice) == (task.pk, 0, "")
    assert holders()[gpus[0]] == "idle_job"  # until the agent says that it has ended
    say(agent, task, "stopped", after(3))
    assert gpus[0] not in holders()
    rented = other_task(agent, gpus[0], after(3))
    apply(agent, gpus, after(4))  # asked for, but not free
    assert holders()[gpus[0]] == "instance"
    agent.obey(after(5))
    task_stop(task=rented, now=after(6))
    agent.obey(after(7))
    apply(agent, gpus, after(8))
    task.refresh_from_db()
    assert (task.desired_state, task.run_generation, task.stop_grace_seconds) == ("running", 2, 10)
    assert task_on(gpus[0]) == task
    assert set(holders().values()) == {"idle_job"}


def test_a_gpu_that_comes_back_while_its_container_ends_is_taken_back(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus)
    agent.obey(after(1))
    apply(agent, [], after(2))
    apply(agent, gpus, after(3))
    assert {task.state for task in agent.obey(after(4)).tasks} == {"running"}
    assert IdleTask.objects.count() == 4
    assert set(Task.objects.values_list("run_generation", flat=True)) == {2}


@pytest.mark.parametrize("phase", ["exited", "failed"])
@pytest.mark.parametrize("then_stopped", [True, False])
def test_what_ends_by_itself_frees_its_gpu_and_starts_again_a_minute_later(
    agent: TestAgent, gpus: list[int], told: list[int], phase: Phase, then_stopped: bool
) -> None:
    set_job(agent)
    apply(agent, gpus[:1])
    agent.obey(after(1))
    task = task_on(gpus[0])
    told.clear()
    say(agent, task, phase, after(10), exit_code=3, message="It ended.")
    assert told == [agent.machine.pk]
    assert holders() == {}
    task.refresh_from_db()
    assert task.desired_state == "stopped"
    ended = 10
    if then_stopped:
        ended = 12
        say(agent, task, "stopped", after(12))
    for seconds in (ended, ended + 59):
        apply(agent, gpus[:1], after(seconds))
        assert holders() == {}
        assert idle_jobs_due(now=after(seconds)) == []
    assert idle_jobs_due(now=after(ended + 60)) == [agent.machine.pk]
    apply(agent, gpus[:1], after(ended + 60))
    task.refresh_from_db()
    assert (task.desired_state, task.run_generation) == ("running", 2)
    assert holders() == {gpus[0]: "idle_job"}
    assert idle_jobs_due(now=after(ended + 60)) == []


def test_only_what_can_start_again_is_due(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus[:1])
    agent.obey(after(1))
    say(agent, task_on(gpus[0]), "exited", after(10), exit_code=0)

    def due() -> bool:
        return idle_jobs_due(now=after(1000)) == [agent.machine.pk]

    assert due()
    machine, gpu = Machine.objects.filter(pk=agent.machine.pk), Gpu.objects.filter(pk=gpus[0])
    for rows, values, back in (
        (machine, {"online": False}, {"online": True}),
        (machine, {"engine_error": "down"}, {"engine_error": ""}),
        (machine, {"removed_at": T0}, {"removed_at": None}),
        (gpu, {"present": False}, {"present": True}),
        (gpu, {"unhealthy_reason": "hot"}, {"unhealthy_reason": ""}),
        (IdleJob.objects.all(), {"active": False}, {"active": True}),
    ):
        rows.update(**values)
        assert not due(), values
        rows.update(**back)
    assert due()
    other_task(agent, gpus[0], after(20))
    assert not due()


def test_what_was_stopped_for_others_is_not_due(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus)
    agent.obey(after(1))
    apply(agent, [], after(2))
    agent.obey(after(3))
    assert idle_jobs_due(now=after(1000)) == []


def test_restarts_look_at_each_machine_alone(
    agent: TestAgent, told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = market.listed_machine()
    for each in (agent, other):
        set_job(each)
        gpu_ids = each.machine.gpus.values_list("pk", flat=True)[:1]
        apply(each, list(gpu_ids))
        each.obey(after(1))
        say(each, task_on(gpu_ids[0]), "exited", after(2), exit_code=0)
    told.clear()
    assert idle_jobs_restart(now=after(61)) == 0
    assert idle_jobs_restart(now=after(62)) == 2
    assert told == [agent.machine.pk, other.machine.pk]

    def fails_for_one(machine: Machine, _now: datetime) -> None:
        assert machine.pk != agent.machine.pk

    monkeypatch.setattr(hooks.market(), "machine_changed", fails_for_one)
    assert idle_jobs_restart(now=after(62)) == 1


@pytest.mark.parametrize("change", [{"image": "debian"}, {"args": ["sleep", "1"]}, {"args": []}])
def test_another_job_takes_the_place_of_the_old_when_its_gpu_is_free(
    agent: TestAgent, gpus: list[int], change: dict[str, Any]
) -> None:
    set_job(agent)
    apply(agent, gpus[:1])
    agent.obey(after(1))
    old = task_on(gpus[0])
    set_job(agent, now=after(2), **change)
    for _ in range(2):
        apply(agent, gpus[:1], after(2))
        assert task_on(gpus[0]) == old
    old.refresh_from_db()
    assert old.desired_state == "removed"
    say(agent, old, "removed", after(3))
    apply(agent, gpus[:1], after(3))
    new = task_on(gpus[0])
    assert new != old
    assert holders() == {gpus[0]: "idle_job"}
    (told,) = agent.report(after(4)).tasks
    assert (told.task_id, told.state) == (new.pk, "running")
    assert [told.spec.image, told.spec.args] == [change.get("image", "ubuntu"), change.get("args", ["bash"])]


def test_other_hardware_means_another_container(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus)
    agent.obey(after(1))
    Machine.objects.filter(pk=agent.machine.pk).update(ram_mb=65536)
    Gpu.objects.filter(pk=gpus[3]).update(present=False)
    apply(agent, gpus[:3], after(2))
    assert {task.state for task in agent.report(after(2)).tasks} == {"removed"}
    agent.obey(after(3))
    apply(agent, gpus[:3], after(4))
    assert [task.spec.ram_mb for task in agent.report(after(5)).tasks] == [16384] * 3


def test_a_removed_job_goes_and_its_floor_with_it(agent: TestAgent, gpus: list[int], told: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus)
    agent.obey(after(1))
    told.clear()
    for _ in range(2):
        idle_job_remove(machine_id=agent.machine.pk, host=agent.machine.host, now=after(2))
    assert told == [agent.machine.pk]
    assert MachineEvent.objects.filter(kind="idle_job_removed").count() == 1
    machine = Machine.objects.get(pk=agent.machine.pk)
    assert (idle_floor_micros(machine), bid_floor_micros(machine)) == (0, 0)
    apply(agent, gpus, after(2))
    agent.obey(after(3))
    assert agent.report(after(4)).tasks == []
    assert holders() == {}
    with CaptureQueriesContext(connection) as queries:
        apply(agent, gpus, after(5))
    assert [sql for sql in writes(queries) if "UPDATE" in sql or "INSERT" in sql] == []


@pytest.mark.parametrize("values", [{"online": False}, {"engine_error": "the engine is down"}, {"removed_at": T0}])
def test_a_machine_out_of_reach_is_left_as_it_is(agent: TestAgent, gpus: list[int], values: dict[str, Any]) -> None:
    set_job(agent)
    apply(agent, gpus[:2])
    agent.obey(after(1))
    Machine.objects.filter(pk=agent.machine.pk).update(**values)
    before = list(Task.objects.order_by("pk").values())
    apply(agent, gpus[1:], after(2))
    assert list(Task.objects.order_by("pk").values()) == before


def test_a_late_report_of_an_earlier_run_ends_nothing(agent: TestAgent, gpus: list[int]) -> None:
    set_job(agent)
    apply(agent, gpus[:1])
    agent.obey(after(1))
    apply(agent, [], after(2))
    apply(agent, gpus[:1], after(3))
    task = task_on(gpus[0])
    agent.report(after(4), ObservedTask(task_id=task.pk, phase="exited", run_generation=1, age_seconds=0, exit_code=1))
    task.refresh_from_db()
    assert (task.desired_state, task.run_generation) == ("running", 2)
    assert holders() == {gpus[0]: "idle_job"}


def settle(agent: TestAgent, wanted: list[int], now: datetime) -> None:
    for _ in range(4):
        apply(agent, wanted, now)
        agent.obey(now)


def runs(told: list[DesiredTask]) -> list[str]:
    return sorted(uuid for task in told if task.state == "running" for uuid in task.gpu_uuids)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_it_ends_up_where_it_should_be(agent: TestAgent, gpus: list[int], seed: int) -> None:
    dice = random.Random(seed)
    uuids = dict(Gpu.objects.values_list("pk", "uuid"))
    for step in range(25):
        now, wanted = after(step * 20), [pk for pk in gpus if dice.random() < 0.6]
        turn = dice.randrange(5)
        if turn == 0:
            set_job(agent, now=now, args=[dice.choice("ab")])
        elif turn == 1:
            idle_job_remove(machine_id=agent.machine.pk, host=agent.machine.host, now=now)
        elif turn == 2 and (live := list(Task.objects.filter(removed_at=None))):
            say(agent, dice.choice(live), dice.choice(["exited", "failed", "running"]), now)
        elif turn == 3:
            agent.obey(now)
        apply(agent, wanted, now)
    job = set_job(agent, now=after(1000))
    settle(agent, wanted, after(1000))
    assert runs(agent.report(after(1000)).tasks) == sorted(uuids[pk] for pk in wanted)
    assert all(task.spec["args"] == job.args for task in Task.objects.filter(removed_at=None))
