"""How long a run lasted that ended by itself, as the agent tells it."""

import pytest

from agent.engine.types import ContainerFacts
from agent.tasks.decide import Wanted, observe
from agent.tasks.memory import TaskMemory

BEGAN, ENDED = "2026-03-02T12:00:00.5Z", "2026-03-02T12:00:10Z"


def container(**changes: object) -> ContainerFacts:
    values: dict[str, object] = {
        "container_id": "x",
        "status": "exited",
        "started_at": BEGAN,
        "finished_at": ENDED,
        "exit_code": 0,
    }
    return ContainerFacts(**(values | changes))  # type: ignore[arg-type]  # the dict mixes types by design


def wanted(*, ssh: bool, run: int = 1) -> Wanted:
    return Wanted(state="running", run_generation=run, ssh=ssh, keys_digest="")


def memory(**changes: object) -> TaskMemory:
    return TaskMemory(task_id=1, intended_generation=1, created=True).changed(**changes)


def test_a_command_ran_from_its_start_to_its_end() -> None:
    assert observe(wanted(ssh=False), container(), memory()).ran_seconds == pytest.approx(9.5)


def test_an_ssh_instance_from_its_servers_first_answer() -> None:
    ready = memory(ready_generation=1, ready_after_seconds=2.0)
    assert observe(wanted(ssh=True), container(), ready).ran_seconds == pytest.approx(7.5)
    late = memory(ready_generation=1, ready_after_seconds=20.0)
    assert observe(wanted(ssh=True), container(), late).ran_seconds == 0.0


@pytest.mark.parametrize("code", [0, 1, 127])
def test_one_that_never_answered_could_not_be_used(code: int) -> None:
    assert observe(wanted(ssh=True), container(exit_code=code), memory()).ran_seconds is None


def test_a_run_that_has_not_ended_or_is_an_older_one_tells_nothing() -> None:
    assert observe(wanted(ssh=False), container(status="running"), memory()).ran_seconds is None
    assert observe(wanted(ssh=False, run=2), container(), memory()).ran_seconds is None
