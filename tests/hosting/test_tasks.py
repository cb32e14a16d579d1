"""Desired state of tasks: which GPUs a run gets, and how a stop is told."""

import pytest

from hosting.errors import HostingError
from hosting.models import Gpu, GpuClaim, Task
from hosting.selectors import desired_state
from hosting.services.tasks import task_run, task_stop
from marketplace.models import Instance
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def task(agent: TestAgent) -> Task:
    """Run 1 of a task on GPU 0 is asked for."""
    instance = instance_rent(
        client=market.user(dollars=10), offer_id=market.offer(agent).pk, request=market.wish(), now=T0
    )
    return Instance.objects.get(pk=instance.pk).task


def held(task: Task) -> list[int]:
    live = GpuClaim.objects.filter(task=task, released_at=None)
    return list(live.order_by("gpu__index").values_list("gpu__index", flat=True))


def gpus(task: Task, *indexes: int) -> list[Gpu]:
    return list(Gpu.objects.filter(machine=task.machine, index__in=indexes))


def test_a_run_claims_what_it_does_not_hold_yet(task: Task) -> None:
    task_run(task=task, gpus=gpus(task, 0, 1), now=T0)
    assert (held(task), task.run_generation) == ([0, 1], 2)


def test_other_gpus_are_refused_while_it_may_run(agent: TestAgent, task: Task) -> None:
    for _ in range(2):
        with pytest.raises(HostingError) as refused:
            task_run(task=task, gpus=gpus(task, 1), now=T0)
        assert refused.value.code == "still_running"
        assert held(task) == [0]
        agent.obey(T0)
        task.refresh_from_db()
    assert task.run_generation == 1


def test_other_gpus_are_exchanged_once_it_surely_does_not_run(task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(observed_phase="exited", observed_run_generation=1)
    task.refresh_from_db()
    task_run(task=task, gpus=gpus(task, 1, 2), now=T0)
    assert held(task) == [1, 2]


def test_a_stop_tells_its_grace_and_its_notice_until_the_next_run(task: Task) -> None:
    def told() -> tuple[int, str]:
        (desired,) = desired_state(task.machine_id).tasks
        return desired.stop_grace_seconds, desired.notice

    assert told() == (10, "")
    task_stop(task=task, now=T0, grace_seconds=30, notice="You were outbid.")
    assert told() == (30, "You were outbid.")
    task_stop(task=task, now=T0)
    assert told() == (10, "")
    task_stop(task=task, now=T0, grace_seconds=0, notice="Over.")
    assert told() == (0, "Over.")
    task_run(task=task, gpus=gpus(task, 0), now=T0)
    assert told() == (10, "")
