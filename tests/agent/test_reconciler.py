"""The reconciler on an engine in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.engine.types import EngineDownError, TaskError
from agent.protocol import ERASED
from agent.tasks.memory import Verdict
from tests.agent.fakes import IDENTITY, FakeEngine, Life, ProcessKilledError, changed, task

NAME = "spotyard-7-1-01234567"


def test_start_stop_start_remove(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    wish = task()
    life.want(wish)
    assert life.seen() == ("running", 1, None)
    assert life.engine.starts == [NAME]
    life.want(changed(wish, state="stopped"))
    assert life.seen() == ("stopped", 1, None)
    assert life.engine.graces == [3]
    life.want(changed(wish, run_generation=2))
    assert life.seen() == ("running", 2, None)
    life.want(changed(wish, run_generation=2, state="removed"))
    assert life.seen() == ("removed", 2, None)
    assert life.engine.containers == {}
    assert list(tmp_path.iterdir()) == []
    assert life.reconciler.observed()[0].erased == list(ERASED)
    life.want()
    assert life.reconciler.observed() == []


def test_nothing_is_attested_where_something_is_left(tmp_path: Path) -> None:
    life = Life(FakeEngine(left="a network"), tmp_path)
    wish = task()
    life.want(wish)
    life.want(changed(wish, state="removed"))
    assert life.seen() == ("stopped", 1, None), "its GPUs are free, and it is not removed"
    life.tick()
    assert life.seen() == ("stopped", 1, None)
    again = Life(life.engine, tmp_path)
    again.want(changed(wish, state="removed"))
    assert again.seen() == ("stopped", 1, None), "a restart does not make it forget what to look for"
    again.engine.left = ""
    again.tick()
    assert again.seen() == ("removed", 1, None)
    assert again.reconciler.observed()[0].erased == list(ERASED)


def test_of_a_task_that_was_never_heard_of_only_what_can_be_looked_for_is_attested(tmp_path: Path) -> None:
    life = Life(FakeEngine(left="a network"), tmp_path)
    life.want(changed(task(), state="removed"))
    assert life.reconciler.observed() == []
    life.engine.left = ""
    life.tick()
    assert life.reconciler.observed()[0].erased == ["container", "saved_disks", "network", "notes"]


def test_what_the_container_is_given(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task(env={"A": "1", "VAST_CONTAINERLABEL": "mine"}, gpu_uuids=["GPU-9"]))
    plan = life.engine.plans[0]
    told = {name: value for name, value in plan.environment.items() if not name.startswith("SPOTYARD_")}
    keys = "ssh-ed25519 AAAA me"
    assert told == {
        "A": "1",
        "VAST_CONTAINERLABEL": "mine",
        "VAST_TCP_PORT_22": "23001",
        "SSH_PUBLIC_KEY": keys,
    }
    assert plan.labels == {
        "spotyard.machine": "7",
        "spotyard.owner": IDENTITY.owner,
        "spotyard.task": "1",
        "spotyard.gpus": "GPU-9",
    }
    assert (plan.hostname, plan.user, plan.gpu_uuids) == ("C.1", "0", [])


def test_args_mode_keeps_the_image_entrypoint_unless_told(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task(1, mode="args", args=["a", "b c"]), task(2, mode="args", entrypoint="python -u", args=["x.py"]))
    first, second = life.engine.plans
    assert (first.entrypoint, first.command, first.user) == (None, ["a", "b c"], None)
    assert (second.entrypoint, second.command) == (["python", "-u"], ["x.py"])
    assert life.engine.files == []


def test_missing_image_is_pulled(tmp_path: Path) -> None:
    life = Life(FakeEngine(pullable={"other:2"}), tmp_path)
    life.want(task(image="other:2"))
    assert life.seen() == ("running", 1, None)


def test_failed_start_is_tried_again_only_under_a_higher_generation(tmp_path: Path) -> None:
    engine = FakeEngine(start_error=TaskError("port_taken", "Port 23001 is taken."))
    life = Life(engine, tmp_path)
    life.want(task())
    assert life.seen() == ("failed", 1, "port_taken")
    engine.start_error = None
    life.tick()
    assert Life(engine, tmp_path).seen() == ("failed", 1, "port_taken")
    assert engine.starts == []
    life.want(task(run_generation=2))
    assert life.seen() == ("running", 2, None)
    assert len(engine.containers) == 1


def test_ended_run_is_left_ended(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    wish = task(mode="args")
    life.want(wish)
    life.engine.end(NAME, exit_code=3)
    life.tick()
    life.want(wish)
    assert life.seen() == ("exited", 1, "exited")
    assert life.engine.starts == [NAME]


def test_container_deleted_by_someone_else_is_lost_not_made_anew(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task())
    life.engine.remove(f"id-{NAME}")
    life.tick()
    assert life.seen() == ("failed", 1, "container_lost")
    assert len(life.engine.plans) == 1


def test_task_the_server_no_longer_names_is_left_alone_and_still_told_of(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task(mode="args"))
    life.want()
    assert life.seen() == ("running", 1, None)
    life.engine.end(NAME, exit_code=0)
    life.tick()
    assert life.seen() == ("exited", 1, "exited")
    assert life.engine.removed == []


def test_restarted_agent_tells_the_truth_before_the_server_speaks(tmp_path: Path) -> None:
    engine = FakeEngine()
    Life(engine, tmp_path).want(task(1), task(2), task(3, mode="args"))
    Life(engine, tmp_path).want(changed(task(2), state="stopped"))
    engine.end("spotyard-7-3-01234567", exit_code=9)
    again = Life(engine, tmp_path)
    assert [again.seen(number) for number in (1, 2, 3)] == [
        ("running", 1, None),
        ("stopped", 1, None),
        ("exited", 1, "exited"),
    ]
    assert len(engine.starts) == 3


def test_adopts_what_runs_even_without_its_memory(tmp_path: Path) -> None:
    engine = FakeEngine()
    Life(engine, tmp_path / "old").want(task(run_generation=4))
    life = Life(engine, tmp_path / "new")
    life.want(task(run_generation=4))
    assert life.seen() == ("running", 4, None)
    assert len(engine.starts) == 1
    life.want(task(run_generation=5))
    assert life.seen() == ("running", 5, None)
    assert len(engine.starts) == 2


def test_foreign_containers_are_never_touched(tmp_path: Path) -> None:
    engine = FakeEngine()
    Life(engine, tmp_path).want(task())
    engine.labels[NAME]["spotyard.owner"] = "8-feedbeef"
    life = Life(engine, tmp_path / "other")
    life.want()
    assert life.reconciler.observed() == []
    assert engine.removed == []


def test_changed_keys_are_rewritten_in_the_running_container(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task())
    life.want(task(authorized_keys=["ssh-ed25519 BBBB other"]))
    (archive,) = life.engine.files
    assert b"BBBB other" in archive
    assert b"start.sh" not in archive
    assert life.seen() == ("running", 1, None)
    assert len(life.engine.starts) == 1


def test_keys_changed_while_stopped_are_there_at_the_next_start(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task())
    life.want(task(state="stopped"))
    life.want(task(run_generation=2, authorized_keys=["ssh-ed25519 BBBB other"]))
    (archive,) = life.engine.files
    assert b"BBBB other" in archive


def test_files_too_big_to_travel_in_the_environment_are_put_in(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task(1), task(2, onstart="# " + "x" * 200_000))
    assert [set(plan.environment) >= {"SPOTYARD_START", "SPOTYARD_KEYS"} for plan in life.engine.plans] == [True, False]
    (archive,) = life.engine.files
    assert b"root/onstart.sh" in archive
    assert [life.seen(number) for number in (1, 2)] == [("running", 1, None)] * 2


def test_files_are_put_in_where_the_start_follows_in_another_life(tmp_path: Path) -> None:
    def kill(name: str, _task_id: int) -> None:
        if name == "created":
            raise ProcessKilledError

    engine = FakeEngine()
    with pytest.raises(ProcessKilledError):
        Life(engine, tmp_path, kill).want(task())
    assert engine.files == []
    Life(engine, tmp_path).want(task(authorized_keys=["ssh-ed25519 BBBB other"]))
    (archive,) = engine.files
    assert b"BBBB other" in archive
    assert b"start.sh" in archive


def test_task_over_its_disk_is_stopped_and_says_why(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task())
    started_at = life.engine.containers[NAME].started_at
    verdict = Verdict(run_generation=1, reason="disk_limit", message="Too much.")
    life.reconciler.condemn(1, "2020-01-01T00:00:00Z", verdict)
    life.pool.run()
    assert life.seen() == ("running", 1, None)
    life.reconciler.condemn(1, started_at, verdict)
    life.pool.run()
    assert life.seen() == ("exited", 1, "disk_limit")
    life.want(task(run_generation=2))
    assert life.seen() == ("running", 2, None)


def test_engine_down_keeps_what_is_known_and_goes_on_by_itself(tmp_path: Path) -> None:
    engine = FakeEngine()
    life = Life(engine, tmp_path)
    life.want(task(1))
    engine.down = True
    life.want(task(1), task(2))
    assert life.seen(1) == ("running", 1, None)
    assert life.seen(2) == ("failed", 1, "engine_down")
    assert life.engine_errors == ["The container engine is not running."]
    engine.down = False
    life.reconciler.on_engine_back()
    life.pool.run()
    assert life.seen(2) == ("running", 1, None)
    assert len(engine.starts) == 2


def down_at(point: str) -> Callable[[str], None]:
    def interrupt(name: str) -> None:
        if name == point:
            raise EngineDownError("No answer.")

    return interrupt


def down_while_asked(_address: str, _port: int) -> bool:
    raise EngineDownError("No answer.")


def test_engine_down_while_a_run_waits_for_its_ssh_server_fails_nothing(tmp_path: Path) -> None:
    engine = FakeEngine()
    killed_before_the_server_answered(engine, tmp_path)
    life = Life(engine, tmp_path)
    object.__setattr__(life.reconciler._tools, "probe", down_while_asked)
    life.want(task())
    assert (engine.containers[NAME].status, life.seen()) == ("running", ("starting", 1, None))
    engine.down = True
    life.reconciler.on_event(1)
    life.pool.run()
    assert life.seen() == ("starting", 1, None)
    life.want(task(run_generation=2))
    assert life.seen() == ("starting", 1, None)


@pytest.mark.parametrize("point", ["before start", "after start"])
def test_a_start_without_an_answer_has_not_failed(point: str, tmp_path: Path) -> None:
    engine = FakeEngine()
    life = Life(engine, tmp_path)
    engine.interrupt = down_at(point)
    life.want(task())
    assert life.seen() == ("starting", 1, None)
    engine.interrupt = lambda _name: None
    life.reconciler.on_engine_back()
    life.pool.run()
    assert (life.seen(), len(engine.starts)) == (("running", 1, None), 1)


def test_engine_down_before_the_next_run_is_asked_for_fails_it(tmp_path: Path) -> None:
    engine = FakeEngine()
    life = Life(engine, tmp_path)
    life.want(task())
    life.want(task(state="stopped"))
    engine.interrupt = down_at("before put_files")
    life.want(task(run_generation=2, authorized_keys=["ssh-ed25519 BBBB other"]))
    assert life.seen() == ("failed", 2, "engine_down")


def test_waits_for_the_ssh_server(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.answers = False

    def died(name: str) -> None:
        if name == "after start":
            life.reconciler.on_event(1)

    life.engine.interrupt = died
    life.reconciler.apply([task()])
    # The event makes the worker look again instead of probing on; let its second look find the server.
    probes: list[bool] = [False, True, True]
    life.reconciler.slots()[0].signal.set()
    object.__setattr__(life.reconciler._tools, "probe", lambda _address, _port: probes.pop(0))
    life.pool.run()
    assert life.seen() == ("running", 1, None)


def test_ports_lead_to_a_container_from_its_start_on_and_not_before(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    seen: list[tuple[str, set[int]]] = []
    life.engine.interrupt = lambda name: seen.append((name, life.reconciler.started()))

    def probe(_address: str, _port: int) -> bool:
        seen.append(("probe", life.reconciler.started()))
        return True

    object.__setattr__(life.reconciler._tools, "probe", probe)
    life.want(task())
    life.want(task(state="stopped"))
    life.want(task(run_generation=2))
    of = {name: [started for at, started in seen if at == name] for name in ("before start", "probe")}
    assert of == {"before start": [set(), set()], "probe": [{1}, {1}]}


def test_run_whose_ssh_server_never_answers_is_ended_after_two_minutes(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.answers, life.late_seconds = False, 120.5
    life.want(task())
    assert life.seen() == ("failed", 1, "no_ssh_server")
    (told,) = life.reconciler.observed()
    assert told.message == "The SSH server did not answer within 2 minutes."
    assert life.engine.containers[NAME].status == "exited"
    life.tick()
    assert Life(life.engine, tmp_path).seen() == ("failed", 1, "no_ssh_server")
    assert life.engine.starts == [NAME]
    life.answers, life.late_seconds = True, 0.0
    life.want(task(run_generation=2))
    assert life.seen() == ("running", 2, None)


def killed_before_the_server_answered(engine: FakeEngine, directory: Path) -> None:
    def kill(name: str, _task_id: int) -> None:
        if name == "started":
            raise ProcessKilledError

    with pytest.raises(ProcessKilledError):
        Life(engine, directory, kill).want(task())


@pytest.mark.parametrize(("answers", "seen"), [(True, ("running", 1, None)), (False, ("failed", 1, "no_ssh_server"))])
def test_deadline_of_the_ssh_server_outlives_the_agent(
    answers: bool, seen: tuple[str, int, str | None], tmp_path: Path
) -> None:
    """It counts from the container's start; a server that came up while the agent was away is not ended."""
    engine = FakeEngine()
    killed_before_the_server_answered(engine, tmp_path)
    life = Life(engine, tmp_path)
    life.answers, life.late_seconds = answers, 3600.0
    life.want(task())
    assert life.seen() == seen


def test_keys_that_cannot_be_written_do_not_put_off_the_deadline(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        if name == "before put_files":
            raise TaskError("engine_error", "The container's root is not what it was.")

    engine = FakeEngine()
    killed_before_the_server_answered(engine, tmp_path)
    engine.interrupt = refuse
    life = Life(engine, tmp_path)
    life.answers, life.late_seconds = False, 120.5
    life.want(task(authorized_keys=["ssh-ed25519 BBBB other"]))
    assert life.seen() == ("failed", 1, "no_ssh_server")


def test_changes_that_matter_are_told_at_once(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task())
    # creating, starting and started can wait a moment, running can't
    assert life.changes == [False, False, False, True]
    life.tick()
    assert life.changes == [False, False, False, True]
