"""Moves to other GPUs and stops from outside, on an engine in memory: what stays, what is refused, what goes."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.engine.types import ContainerGoneError, EngineDownError, TaskError
from agent.guest.files import notice_file
from agent.protocol import DesiredTask
from agent.tasks.memory import TrafficStore
from agent.usage import UsageSampler
from tests.agent.fakes import FakeEngine, Life, ProcessKilledError, changed, task

NAME = "spotyard-7-1-01234567"
ON_A = task(gpu_uuids=["A"])
ON_B = task(gpu_uuids=["B"], run_generation=2)
STOPPED = task(state="stopped", gpu_uuids=[])
DISK_1 = f"spotyard-disk/{NAME}:2-id-spotyard-"


def stopped_life(directory: Path) -> Life:
    """A task that ran on GPU A and is stopped."""
    life = Life(FakeEngine(), directory)
    life.want(ON_A)
    life.want(STOPPED)
    assert life.seen() == ("stopped", 1, None)
    return life


def killed_at(point: str, engine: FakeEngine, directory: Path, wish: DesiredTask) -> None:
    def kill(name: str, _task_id: int) -> None:
        if name == point:
            raise ProcessKilledError

    with pytest.raises(ProcessKilledError):
        Life(engine, directory, kill).want(wish)


def test_the_next_container_has_the_disk_and_the_volumes_of_the_one_before(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.want(ON_B)
    assert life.seen() == ("running", 2, None)
    first, second = life.engine.plans
    assert (first.image, first.volumes) == ("image:1", {})
    assert (second.image, second.volumes) == (DISK_1, {"/data": "volume1"})
    assert [plan.labels["spotyard.gpus"] for plan in (first, second)] == ["A", "B"]
    assert (second.entrypoint, second.command, second.ports) == (first.entrypoint, first.command, first.ports)
    assert life.engine.written[NAME] == ("start 1", "start 2")


def test_a_move_is_told_as_a_creation(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    phases: list[str | None] = []
    life.engine.interrupt = lambda _name: phases.append((life.seen() or (None,))[0])
    life.want(ON_B)
    before_start = phases[: phases.index("starting")]
    assert set(before_start) == {"creating"}


def test_variables_that_are_not_given_any_more_are_taken_away(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.want(changed(ON_B, env={"NEW": "1"}))
    environment = life.engine.plans[1].environment
    assert (environment["GREETING"], environment["NEW"]) == (None, "1")


def test_a_disk_that_ran_gets_no_first_files_but_keys_that_changed(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.want(ON_B)
    assert life.engine.files == []
    life.want(changed(ON_B, state="stopped"))
    life.want(changed(ON_A, run_generation=3, authorized_keys=["ssh-ed25519 BBBB other"]))
    (archive,) = life.engine.files
    assert b"BBBB other" in archive
    assert b"start.sh" not in archive


def test_a_disk_on_which_nothing_ran_gets_all_first_files(tmp_path: Path) -> None:
    life = Life(FakeEngine(start_error=TaskError("port_taken", "Port 23001 is taken.")), tmp_path)
    life.want(ON_A)
    life.engine.start_error = None
    life.want(changed(ON_B, authorized_keys=["ssh-ed25519 BBBB other"]))
    assert life.seen() == ("running", 2, None)
    (archive,) = life.engine.files
    assert b"BBBB other" in archive
    assert b"start.sh" in archive


def test_without_room_for_a_copy_nothing_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = stopped_life(tmp_path)
    object.__setattr__(life.reconciler._tools, "data_root", lambda: "/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=100 << 20))
    life.engine.used_mb = 101
    life.want(ON_B)
    assert life.seen() == ("failed", 2, "disk_full")
    (told,) = life.reconciler.observed()
    assert told.message.startswith("The host's disk has too little free space to move the instance to other GPUs")
    assert life.engine.removed == []
    life.want(changed(ON_A, run_generation=3))
    assert (life.seen(), len(life.engine.plans)) == (("running", 3, None), 1)
    life.engine.used_mb = 100
    life.want(changed(ON_B, run_generation=4))
    assert (life.seen(), len(life.engine.plans)) == (("running", 4, None), 2)


def test_a_disk_the_engine_does_not_save_stays_where_it_is(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.engine.save_error = TaskError("disk_full", "The host's disk is full.")
    life.want(ON_B)
    assert life.seen() == ("failed", 2, "disk_full")
    life.tick()
    assert (life.engine.removed, life.engine.saved) == ([], [])
    life.engine.save_error = None
    life.want(changed(ON_B, run_generation=3))
    assert life.seen() == ("running", 3, None)


def test_a_creation_refused_after_the_old_container_went_is_done_under_the_next_run(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)

    def refuse(name: str) -> None:
        if name == "before create":
            raise TaskError("engine_error", "The engine refused.")

    life.engine.interrupt = refuse
    life.want(ON_B)
    assert life.seen() == ("failed", 2, "engine_error")
    life.engine.interrupt = lambda _name: None
    life.want(changed(STOPPED, run_generation=2))
    assert life.seen() == ("stopped", 2, None)
    life.want(changed(ON_A, run_generation=3))
    assert life.seen() == ("running", 3, None)
    assert life.engine.written[NAME] == ("start 1", "start 2")


@pytest.mark.parametrize("gone", ["image", "volume"])
def test_a_saved_disk_that_somebody_deleted_is_a_loss(gone: str, tmp_path: Path) -> None:
    engine = stopped_life(tmp_path).engine
    killed_at("old_removed", engine, tmp_path, ON_B)
    if gone == "image":
        del engine.images[DISK_1]
    else:
        engine.existing_volumes.clear()
    life = Life(engine, tmp_path)
    life.want(ON_B)
    assert life.seen() == ("failed", 2, "container_lost")
    assert engine.containers == {}
    life.want(changed(ON_B, state="removed"))
    assert life.seen() == ("removed", 2, None)
    assert (set(engine.images), engine.existing_volumes) == ({"image:1"}, set())


def test_stopped_in_the_middle_of_a_move_and_started_later_elsewhere(tmp_path: Path) -> None:
    engine = stopped_life(tmp_path).engine
    killed_at("old_removed", engine, tmp_path, ON_B)
    life = Life(engine, tmp_path)
    life.want(changed(STOPPED, run_generation=2))
    assert life.seen() == ("stopped", 2, None)
    life.tick()
    life.want(changed(ON_B, run_generation=3, gpu_uuids=["C"]))
    assert life.seen() == ("running", 3, None)
    assert engine.plans[-1].labels["spotyard.gpus"] == "C"
    assert engine.written[NAME] == ("start 1", "start 2")


DEAD = TaskError("engine_error", "The container is marked for removal and cannot be committed.")


@pytest.mark.parametrize("gpu", ["A", "B", "C"])
def test_a_disk_that_is_saved_is_not_saved_again_from_what_is_left_of_its_container(gpu: str, tmp_path: Path) -> None:
    """Even for the GPUs that it had: the container may be half deleted."""
    engine = stopped_life(tmp_path).engine
    killed_at("move_noted", engine, tmp_path, ON_B)
    engine.save_error = DEAD
    life = Life(engine, tmp_path)
    life.want(changed(ON_B, run_generation=3, gpu_uuids=[gpu]))
    assert (life.seen(), engine.saved) == (("running", 3, None), [DISK_1])
    assert (engine.plans[-1].image, engine.plans[-1].volumes) == (DISK_1, {"/data": "volume1"})
    assert engine.plans[-1].labels["spotyard.gpus"] == gpu
    assert engine.written[NAME] == ("start 1", "start 2")
    assert len(engine.removed) == 1


@pytest.mark.parametrize("error", [TaskError("engine_error", "Busy."), EngineDownError("No answer.")])
def test_a_container_the_engine_did_not_delete_goes_later_without_being_saved_again(
    error: Exception, tmp_path: Path
) -> None:
    life = stopped_life(tmp_path)
    engine = life.engine

    def refuse(name: str) -> None:
        if name == "before remove":
            engine.save_error = DEAD
            raise error

    engine.interrupt = refuse
    life.want(ON_B)
    assert life.seen() == ("failed", 2, error.reason if isinstance(error, TaskError) else "engine_down")
    engine.interrupt = lambda _name: None
    life.want(changed(ON_B, run_generation=3))
    assert (life.seen(), engine.saved) == (("running", 3, None), [DISK_1])
    assert engine.written[NAME] == ("start 1", "start 2")


def test_a_saved_disk_that_somebody_deleted_before_the_container_went_is_saved_again(tmp_path: Path) -> None:
    engine = stopped_life(tmp_path).engine
    killed_at("move_noted", engine, tmp_path, ON_B)
    del engine.images[DISK_1]
    life = Life(engine, tmp_path)
    life.want(ON_B)
    assert (life.seen(), len(engine.saved)) == (("running", 2, None), 2)
    assert engine.written[NAME] == ("start 1", "start 2")


def started_by_somebody(directory: Path) -> FakeEngine:
    """A task in the middle of a move whose old container has run once more."""
    engine = stopped_life(directory).engine
    killed_at("move_noted", engine, directory, ON_B)
    engine.start(f"id-{NAME}")
    engine.end(NAME, exit_code=0)
    return engine


def test_a_container_that_ran_since_it_was_saved_is_saved_again(tmp_path: Path) -> None:
    engine = started_by_somebody(tmp_path)
    life = Life(engine, tmp_path)
    life.want(ON_B)
    assert life.seen() == ("running", 2, None)
    assert engine.written[NAME] == ("start 1", "start 2", "start 3")
    assert set(engine.images) == {"image:1", engine.plans[-1].image}


def test_a_saved_disk_stays_until_the_next_one_is_noted(tmp_path: Path) -> None:
    engine = started_by_somebody(tmp_path)
    engine.save_error = DEAD
    life = Life(engine, tmp_path)
    life.want(ON_B)
    assert (life.seen(), engine.images[DISK_1]) == (("failed", 2, "engine_error"), ("start 1",))
    engine.save_error = None
    life.want(changed(ON_B, run_generation=3))
    assert (life.seen(), engine.written[NAME]) == (("running", 3, None), ("start 1", "start 2", "start 3"))


def test_a_move_given_up_counts_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    engine = started_by_somebody(tmp_path)
    engine.used_mb = 7
    life = Life(engine, tmp_path)
    life.want(changed(ON_A, run_generation=3))
    assert (life.seen(), len(engine.plans)) == (("running", 3, None), 1)
    assert set(engine.images) == {"image:1"}
    memory = life.reconciler.slots()[0].memory
    assert memory is not None
    assert (memory.disk, memory.moving) == (None, None)
    engine.remove(f"id-{NAME}")
    life.tick()
    assert life.seen() == ("failed", 3, "container_lost")


def test_an_older_wish_begins_no_run_twice(tmp_path: Path) -> None:
    engine = stopped_life(tmp_path).engine
    killed_at("created", engine, tmp_path, ON_B)
    life = Life(engine, tmp_path)
    life.want(changed(ON_B, run_generation=1))
    assert life.seen() == ("exited", 1, "exited")
    assert len(engine.starts) == 1
    life.want(ON_B)
    assert (life.seen(), len(engine.starts)) == (("running", 2, None), 2)


def sample(life: Life, directory: Path) -> None:
    """A first look at what is used, and what comes of it."""
    sampler = UsageSampler(life.engine)
    sampler.watch(life.reconciler, TrafficStore(directory))
    sampler.sample()
    life.pool.run()


def test_what_was_written_before_moves_counts(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.engine.used_mb = 3 * 1024
    life.want(changed(ON_B, disk_gb=5))
    life.engine.used_mb = 2 * 1024
    sample(life, tmp_path)
    assert [told.disk_used_mb for told in life.reconciler.observed()] == [5 * 1024]
    assert life.seen() == ("running", 2, None)
    life.want(changed(ON_A, run_generation=3, disk_gb=5))
    life.engine.used_mb = 1
    sample(life, tmp_path)
    assert [told.disk_used_mb for told in life.reconciler.observed()] == [5 * 1024 + 1]
    assert life.seen() == ("exited", 3, "disk_limit")


def test_a_move_gives_back_what_was_overwritten_once_that_is_too_much(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.engine.used_mb, life.engine.whole_mb = 3 * 1024, 10 + 2 * 1024
    life.want(changed(ON_B, disk_gb=5))
    assert life.engine.merged == []
    life.want(changed(ON_A, run_generation=3, disk_gb=5))
    assert life.engine.merged == life.engine.saved[1:]
    life.engine.used_mb = 0
    sample(life, tmp_path)
    assert [told.disk_used_mb for told in life.reconciler.observed()] == [2 * 1024]
    assert life.engine.written[NAME] == ("start 1", "start 2", "start 3")


def test_a_disk_that_was_saved_very_often_is_merged(tmp_path: Path) -> None:
    life = Life(FakeEngine(most_saved=2), tmp_path)
    for run in range(1, 5):
        life.want(task(run_generation=run, gpu_uuids=[str(run)]))
    assert life.engine.merged == life.engine.saved[2:]
    assert life.engine.plans[-1].environment.get("GREETING") == "hello"


def test_what_was_deleted_since_a_move_ends_nobody(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.engine.used_mb = 3 * 1024
    life.want(changed(ON_B, disk_gb=5))
    life.engine.whole_mb = 10 + 5 * 1024
    sample(life, tmp_path)
    assert [told.disk_used_mb for told in life.reconciler.observed()] == [5 * 1024]
    assert life.seen() == ("running", 2, None)
    life.engine.whole_mb += 1
    sample(life, tmp_path)
    assert life.seen() == ("exited", 2, "disk_limit")


@pytest.mark.parametrize("error", [TaskError("engine_error", "In use."), EngineDownError("Away.")])
def test_what_the_engine_does_not_delete_now_it_deletes_later(error: Exception, tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.want(ON_B)
    life.engine.drop_error = error
    life.want(changed(ON_B, state="removed"))
    phase = "stopped" if isinstance(error, TaskError) else "stopping"
    assert life.seen() == (phase, 2, None)
    life.tick()
    assert life.seen() == (phase, 2, None)
    life.engine.drop_error = None
    life.tick()
    assert life.seen() == ("removed", 2, None)
    assert (set(life.engine.images), life.engine.existing_volumes) == ({"image:1"}, set())
    assert list(tmp_path.iterdir()) == []


def test_an_old_disk_that_cannot_be_deleted_holds_up_no_start(tmp_path: Path) -> None:
    life = stopped_life(tmp_path)
    life.engine.drop_error = TaskError("engine_error", "In use.")
    life.want(ON_B)
    assert life.seen() == ("running", 2, None)


def test_a_notice_says_why_and_how_long() -> None:
    with tarfile.open(fileobj=io.BytesIO(notice_file("Outbid.", 10, 1767225600.7))) as archive:
        (entry,) = archive.getmembers()
        content = archive.extractfile(entry)
        assert content is not None
        notice = json.loads(content.read())
    assert (entry.name, entry.mode) == (".spotyard/notice.json", 0o644)
    assert notice == {"message": "Outbid.", "grace_seconds": 10, "at": "2026-01-01T00:00:00Z"}


def test_a_notice_comes_before_the_stop_and_only_with_one_from_outside(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    wish = task(mode="args")
    life.want(wish)
    calls: list[str] = []
    life.engine.interrupt = calls.append
    life.want(changed(wish, run_generation=2, notice="Not for a restart."))
    assert "before put_files" not in calls
    calls.clear()
    life.want(changed(wish, run_generation=2, state="stopped", notice="Outbid.", stop_grace_seconds=0))
    assert calls == ["before put_files", "before stop", "after stop"]
    assert life.engine.graces[-1] == 0
    life.want(changed(wish, run_generation=3))
    calls.clear()
    life.want(changed(wish, run_generation=3, state="stopped"))
    assert calls == ["before stop", "after stop"]


@pytest.mark.parametrize(
    "error", [TaskError("engine_error", "Read-only."), ContainerGoneError("c"), EngineDownError("No answer.")]
)
def test_a_notice_that_cannot_be_put_holds_up_no_stop(error: Exception, tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task(mode="args"))

    def refuse(name: str) -> None:
        if name == "before put_files":
            raise error

    life.engine.interrupt = refuse
    life.want(task(mode="args", state="stopped", notice="Outbid."))
    assert life.seen() == ("stopped", 1, None)
