"""The decision table, row by row."""

from dataclasses import replace

import msgspec
import pytest

from agent.engine.timestamps import instant
from agent.engine.types import NEVER, ContainerFacts
from agent.tasks.decide import (
    Adopt,
    AwaitReady,
    Create,
    Forget,
    MarkLost,
    Move,
    Observation,
    Remove,
    Rest,
    RewriteKeys,
    Start,
    Step,
    Stop,
    Wanted,
    decide,
    ssh_overdue,
)
from agent.tasks.memory import SavedDisk, TaskMemory, Verdict

OLD, NEW, END = "2026-01-01T00:00:01Z", "2026-01-01T00:00:09Z", "2026-01-01T00:01:00Z"

RUN_1 = Wanted(state="running", run_generation=1, ssh=False, keys_digest="k")
RUN_2 = Wanted(state="running", run_generation=2, ssh=False, keys_digest="k")
SSH_1 = Wanted(state="running", run_generation=1, ssh=True, keys_digest="k")
STOPPED = Wanted(state="stopped", run_generation=1, ssh=False, keys_digest="k")
REMOVED = Wanted(state="removed", run_generation=1, ssh=False, keys_digest="k")

CREATED = ContainerFacts(container_id="c", status="created")
RUNNING = ContainerFacts(container_id="c", status="running", started_at=NEW)
EXITED = ContainerFacts(container_id="c", status="exited", started_at=NEW, finished_at=END, exit_code=3)
RAN_BEFORE = ContainerFacts(container_id="c", status="exited", started_at=OLD, finished_at=END)
ENDED_ON_A = replace(EXITED, gpus=frozenset({"A"}))
RUNS_ON_A = replace(RUNNING, gpus=frozenset({"A"}))
NEXT_ON_B = ContainerFacts(container_id="d", status="created", gpus=frozenset({"B"}))
ON_B = replace(RUN_2, gpus=frozenset({"B"}))
REMOVING = ContainerFacts(container_id="c", status="removing", started_at=NEW)

MADE = TaskMemory(task_id=1, created=True)
INTENT_1 = MADE.changed(intended_generation=1, started_before=NEVER, keys_digest="k")
INTENT_2 = MADE.changed(intended_generation=2, started_before=OLD, previous_generation=1, keys_digest="k")
READY_1 = INTENT_1.changed(ssh=True, ready_generation=1, ready_after_seconds=0.5)
FAILED_1 = TaskMemory(task_id=1, verdict=Verdict(run_generation=1, reason="image_missing", message="no"))
PORT_TAKEN_1 = INTENT_1.changed(verdict=Verdict(run_generation=1, reason="port_taken", message="taken"))
LOST_1 = TaskMemory(task_id=1, verdict=Verdict(run_generation=1, reason="container_lost", message="gone"))
TOO_BIG_1 = INTENT_1.changed(verdict=Verdict(run_generation=1, reason="disk_limit", message="full"))
DISK = SavedDisk(
    container_id="c", image="d:2-c", volumes={}, given_names=[], used_mb=0, base_mb=0, last_run=1, started_at=NEW
)
MOVING = INTENT_1.changed(moving=DISK)
MOVING_BEFORE = INTENT_1.changed(moving=msgspec.structs.replace(DISK, started_at=OLD))
MOVED = INTENT_1.changed(disk=DISK)
NO_ROOM_2 = INTENT_1.changed(verdict=Verdict(run_generation=2, reason="disk_full", message="no room"))


def rest(phase: str, run: int = 1, **facts: object) -> Rest:
    return Rest(Observation(phase=phase, run_generation=run, **facts))  # type: ignore[arg-type]  # mixed by design


TABLE: list[tuple[str, Wanted, ContainerFacts | None, TaskMemory | None, Step]] = [
    ("new task", RUN_1, None, None, Create()),
    ("made, not started", RUN_1, CREATED, None, Start(-1)),
    ("killed between intent and start", RUN_1, CREATED, INTENT_1, Start(-1)),
    ("runs", RUN_1, RUNNING, INTENT_1, rest("running", since=NEW)),
    ("killed between start and its record", RUN_1, EXITED, INTENT_1, rest("exited", since=END, exit_code=3, ran_seconds=51.0, reason="exited", message="The instance's main process ended with exit code 3.")),  # noqa: E501 - a table with a case a line
    ("runs the older run", RUN_2, RUNNING, INTENT_1, Stop(1, for_good=False)),
    ("older run ended", RUN_2, EXITED, INTENT_1, Start(1)),
    ("killed between second intent and start", RUN_2, RAN_BEFORE, INTENT_2, Start(1)),
    ("second run goes on", RUN_2, RUNNING, INTENT_2, rest("running", 2, since=NEW)),
    ("server's wish is older than the run", RUN_1, RUNNING, INTENT_2, rest("running", 2, since=NEW)),
    ("ran, but nothing is remembered", RUN_1, RUNNING, None, Adopt()),
    ("ended, but nothing is remembered", RUN_1, EXITED, None, Adopt()),
    ("start failed", RUN_1, CREATED, PORT_TAKEN_1, rest("failed", reason="port_taken", message="taken")),
    ("start failed, asked anew", RUN_2, CREATED, PORT_TAKEN_1, Start(-1)),
    ("creation failed", RUN_1, None, FAILED_1, rest("failed", reason="image_missing", message="no")),
    ("creation failed, asked anew", RUN_2, None, FAILED_1, Create()),
    ("creation failed, then stopped", STOPPED, None, FAILED_1, rest("stopped")),
    ("container vanished", RUN_1, None, INTENT_1, MarkLost()),
    ("stopped container vanished", STOPPED, None, INTENT_1, MarkLost()),
    ("loss noted", RUN_1, None, LOST_1, rest("failed", reason="container_lost", message="gone")),
    ("loss noted, stopped", STOPPED, None, LOST_1, rest("failed", reason="container_lost", message="gone")),
    ("asked anew after a loss", RUN_2, None, LOST_1, Create()),
    ("over its disk", RUN_1, RUNNING, TOO_BIG_1, Stop(1, for_good=True)),
    ("stopped over its disk", RUN_1, EXITED, TOO_BIG_1, rest("exited", since=END, exit_code=3, ran_seconds=51.0, reason="disk_limit", message="full")),  # noqa: E501 - a table with a case a line
    ("asked anew after that", RUN_2, EXITED, TOO_BIG_1, Start(1)),
    ("ssh: answers not yet", SSH_1, RUNNING, INTENT_1, AwaitReady(1)),
    ("ssh: ready", SSH_1, RUNNING, READY_1, rest("running", since=NEW, since_offset_seconds=0.5)),
    ("ssh: answers not yet, other keys", SSH_1, RUNNING, INTENT_1.changed(keys_digest="old"), AwaitReady(1)),
    ("ssh: other keys", SSH_1, RUNNING, READY_1.changed(keys_digest="old"), RewriteKeys()),
    ("other GPUs", ON_B, ENDED_ON_A, INTENT_1, Move(1)),
    ("other GPUs, never run", ON_B, replace(CREATED, gpus=frozenset({"A"})), None, Move(-1)),
    ("other GPUs while the older run goes on", ON_B, RUNS_ON_A, INTENT_1, Stop(1, for_good=False)),
    ("other GPUs, but no newer run", replace(ON_B, run_generation=1), RUNS_ON_A, INTENT_1, rest("running", since=NEW)),
    ("other GPUs, ended by itself", replace(ON_B, run_generation=1), ENDED_ON_A, INTENT_1, rest("exited", since=END, exit_code=3, ran_seconds=51.0, reason="exited", message="The instance's main process ended with exit code 3.")),  # noqa: E501 - a table with a case a line
    ("no GPUs while stopped", replace(STOPPED, gpus=frozenset()), ENDED_ON_A, INTENT_1, rest("stopped", since=END)),
    ("same GPUs", replace(RUN_2, gpus=frozenset({"A"})), ENDED_ON_A, INTENT_1, Start(1)),
    ("GPUs not known, of an older agent", ON_B, EXITED, INTENT_1, Start(1)),
    ("no room for a move", ON_B, ENDED_ON_A, NO_ROOM_2, rest("failed", 2, reason="disk_full", message="no room")),
    ("killed before the old container went", ON_B, ENDED_ON_A, MOVING, Move(1)),
    ("disk saved and noted, then the same GPUs", replace(RUN_2, gpus=frozenset({"A"})), ENDED_ON_A, MOVING, Move(1)),
    ("move given up, the old container has run since", replace(RUN_2, gpus=frozenset({"A"})), ENDED_ON_A, MOVING_BEFORE, Start(1)),  # noqa: E501 - a table with a case a line
    ("killed after the old container went", ON_B, None, MOVING, Create()),
    ("stopped in the middle of a move", STOPPED, None, MOVING, rest("stopped")),
    ("removed in the middle of a move", REMOVED, None, MOVING, Forget()),
    ("killed after the next one came", ON_B, NEXT_ON_B, MOVING, Start(1)),
    ("moved, not started", ON_B, NEXT_ON_B, MOVED, Start(1)),
    ("moved, not started, an older wish", replace(ON_B, run_generation=1), NEXT_ON_B, MOVED, rest("exited", exit_code=0, reason="exited", message="The instance's main process ended with exit code 0.")),  # noqa: E501 - a table with a case a line
    ("moved, then vanished", ON_B, None, MOVED, MarkLost()),
    ("to stop", STOPPED, RUNNING, INTENT_1, Stop(1, for_good=True)),
    ("stopped", STOPPED, EXITED, INTENT_1, rest("stopped", since=END)),
    ("stopped before it began", STOPPED, CREATED, None, rest("stopped")),
    ("stopped without ever being", STOPPED, None, None, rest("stopped")),
    ("to remove", REMOVED, RUNNING, INTENT_1, Remove()),
    ("removal under way", REMOVED, REMOVING, INTENT_1, rest("stopping")),
    ("removed, remembered", REMOVED, None, INTENT_1, Forget()),
    ("removed", REMOVED, None, None, rest("removed")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "container", "memory", "step"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_table(wanted: Wanted, container: ContainerFacts | None, memory: TaskMemory | None, step: Step) -> None:
    assert decide(wanted, container, memory) == step


@pytest.mark.parametrize(
    ("ssh", "code", "facts", "phase", "reason"),
    [
        (False, 0, {}, "exited", "exited"),
        (False, 127, {}, "exited", "command_not_found"),
        (False, 126, {}, "exited", "command_not_found"),
        (False, 137, {"out_of_memory": True}, "exited", "out_of_memory"),
        (False, 0, {"out_of_memory": True}, "exited", "exited"),
        (False, 143, {"ended_with_engine": True}, "exited", "engine_down"),
        (True, 117, {}, "failed", "no_ssh_server"),
        (True, 118, {}, "failed", "no_ssh_server"),
        (True, 127, {}, "failed", "no_shell"),
        (True, 1, {}, "exited", "exited"),
    ],
)
def test_reasons_of_an_end(ssh: bool, code: int, facts: dict[str, bool], phase: str, reason: str) -> None:
    container = ContainerFacts(
        container_id="c",
        status="exited",
        started_at=NEW,
        finished_at=END,
        exit_code=code,
        out_of_memory=facts.get("out_of_memory", False),
        ended_with_engine=facts.get("ended_with_engine", False),
    )
    step = decide(SSH_1 if ssh else RUN_1, container, INTENT_1)
    assert isinstance(step, Rest)
    seen = step.observation
    assert (seen.phase, seen.reason, seen.exit_code, seen.since) == (phase, reason, code, END)
    assert seen.message.endswith(".")


def test_an_instance_that_was_usable_has_exited_whatever_its_code() -> None:
    container = ContainerFacts(container_id="c", status="exited", started_at=NEW, finished_at=END, exit_code=118)
    step = decide(SSH_1, container, READY_1)
    assert isinstance(step, Rest)
    assert (step.observation.phase, step.observation.reason) == ("exited", "no_ssh_server")


@pytest.mark.parametrize(("after_seconds", "overdue"), [(-5.0, False), (0.0, False), (120.0, False), (120.1, True)])
def test_an_ssh_server_has_two_minutes_from_the_start_of_its_run(after_seconds: float, overdue: bool) -> None:
    assert ssh_overdue(RUNNING, instant(NEW) + after_seconds) is overdue
