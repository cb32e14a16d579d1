"""The keeper of clients' volumes on an engine in memory: killed anywhere, told twice, and never deleting unasked."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.types import TaskError
from agent.tasks.memory import TrafficStore
from agent.usage import UsageSampler
from agent.volume_protocol import DesiredVolume, ObservedVolume, VolumeMount
from agent.volumes import VolumeKeeper
from tests.agent.fakes import IDENTITY, FakeEngine, Life, ManualPool, ProcessKilledError, task

NAME = "spotyard-volume-7-3-01234567"


def wish(state: str = "present", volume_id: int = 3, *, may_create: bool = True, size_gb: int = 1) -> DesiredVolume:
    return DesiredVolume(
        volume_id=volume_id,
        label=f"V.{volume_id}",
        state=state,  # type: ignore[arg-type]  # one of two
        size_gb=size_gb,
        may_create=may_create,
    )


class Keeping:
    """One life of a keeper; make another to restart the agent."""

    def __init__(self, engine: FakeEngine, point: object = None) -> None:
        self.news = 0
        self.pool = ManualPool()
        self.keeper = VolumeKeeper(
            engine=engine,
            identity=IDENTITY,
            pool=self.pool,
            on_change=self._count,
            checkpoint=point or (lambda _name, _id: None),  # type: ignore[arg-type]  # a function
        )

    def _count(self) -> None:
        self.news += 1

    def want(self, *wishes: DesiredVolume) -> list[ObservedVolume] | None:
        self.keeper.apply(list(wishes))
        self.pool.run()
        return self.keeper.reports()

    def states(self) -> dict[int, str]:
        return {one.volume_id: one.state for one in self.keeper.reports() or ()}


def test_made_told_and_deleted() -> None:
    engine = FakeEngine()
    keeping = Keeping(engine)
    assert keeping.keeper.reports() is None
    keeping.want(wish())
    assert (keeping.states(), set(engine.client_volumes)) == ({3: "present"}, {NAME})
    assert engine.client_volumes[NAME]["spotyard.owner"] == IDENTITY.owner
    keeping.want(wish(may_create=False))
    assert keeping.news == 1
    keeping.want(wish("removed"))
    assert (keeping.states(), engine.client_volumes) == ({3: "removed"}, {})
    assert keeping.want() == []


def test_what_the_server_does_not_name_stays() -> None:
    engine = FakeEngine()
    Keeping(engine).want(wish())
    again = Keeping(engine)
    again.want(wish(volume_id=4))
    again.keeper.apply(None)
    again.want()
    assert len(engine.client_volumes) == 2


def test_a_lost_volume_is_told_and_not_made_anew() -> None:
    engine = FakeEngine()
    keeping = Keeping(engine)
    keeping.want(wish())
    engine.client_volumes.clear()
    keeping.want(wish())
    assert keeping.states() == {3: "missing"}, "it was there in this very life"
    later = Keeping(engine)
    later.want(wish(may_create=False))
    assert (later.states(), engine.client_volumes) == ({3: "missing"}, {})


def test_volumes_of_another_agent_are_not_its_own() -> None:
    engine = FakeEngine(client_volumes={NAME: {"spotyard.owner": "another"}})
    keeping = Keeping(engine)
    keeping.want(wish("removed"))
    assert NAME in engine.client_volumes


def test_what_the_engine_refuses_is_told_and_tried_again() -> None:
    engine = FakeEngine(volume_error=TaskError("engine_error", "No space."))
    keeping = Keeping(engine)
    keeping.want(wish())
    assert [(one.state, one.message) for one in keeping.keeper.reports() or ()] == [("failed", "No space.")]
    engine.volume_error = None
    keeping.want(wish())
    assert keeping.states() == {3: "present"}


def test_while_the_engine_is_down_nothing_is_said_of_it() -> None:
    engine = FakeEngine()
    keeping = Keeping(engine)
    keeping.want(wish())
    engine.down = True
    keeping.want(wish(may_create=False))
    assert keeping.states() == {3: "present"}


Way = list[str]


@given(
    way=st.lists(st.sampled_from(["present", "removed", "again"]), min_size=1, max_size=5),
    points=st.sets(st.integers(1, 25), max_size=5),
)
def test_killed_anywhere(way: Way, points: set[int]) -> None:
    """After "removed" the server never wants it back, so what follows are doubled replies."""
    engine, passed, life_points = FakeEngine(), 0, points

    def pass_point(*_: object) -> None:
        nonlocal passed
        passed += 1
        if passed in life_points:
            raise ProcessKilledError

    engine.interrupt = pass_point
    keeping, state, was_there = Keeping(engine, pass_point), "present", False
    for step in way:
        state = "removed" if "removed" in (step, state) else "present"
        while True:
            try:
                keeping.want(wish(state, may_create=not was_there))
            except ProcessKilledError:
                keeping = Keeping(engine, pass_point)
            else:
                break
        was_there |= keeping.states() == {3: "present"}
    assert keeping.states() == {3: state}
    assert set(engine.client_volumes) == ({NAME} if state == "present" else set())


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(FakeEngine(), tmp_path)


MOUNTS = [VolumeMount(volume_id=3, path="/data")]


def test_a_container_has_its_volume_though_the_keeper_has_not_come_to_it(life: Life) -> None:
    keeping = Keeping(life.engine)
    keeping.keeper.apply([wish()])
    life.provide = keeping.keeper.provide
    life.want(task(volumes=MOUNTS))
    assert life.seen() == ("running", 1, None)
    assert life.engine.plans[-1].client_volumes == {"/data": NAME}
    assert keeping.states() == {3: "present"}
    keeping.want(wish("removed"))
    assert keeping.states() == {3: "present"}, "a container has it"
    life.want(task(volumes=MOUNTS, state="removed"))
    assert NAME in life.engine.client_volumes, "it is not deleted with the container"
    keeping.want(wish("removed"))
    assert life.engine.client_volumes == {}


def test_a_container_without_its_volume_does_not_begin(life: Life) -> None:
    keeping = Keeping(life.engine)
    keeping.keeper.apply([wish(may_create=False)])
    life.provide = keeping.keeper.provide
    life.want(task(volumes=MOUNTS))
    assert life.seen() == ("failed", 1, "volume_missing")
    assert (life.engine.plans, life.engine.client_volumes) == ([], {})


def test_a_move_to_other_gpus_keeps_the_volume(life: Life) -> None:
    keeping = Keeping(life.engine)
    keeping.want(wish())
    life.provide = keeping.keeper.provide
    for run, gpu in ((1, "A"), (2, "B")):
        life.want(task(volumes=MOUNTS, run_generation=run, gpu_uuids=[gpu]))
    assert [plan.client_volumes for plan in life.engine.plans] == [{"/data": NAME}] * 2
    life.want(task(volumes=MOUNTS, run_generation=2, state="removed"))
    assert (set(life.engine.client_volumes), life.engine.existing_volumes) == ({NAME}, set())


def test_what_runs_on_a_volume_that_is_too_full_is_stopped() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        life = Life(FakeEngine(volume_sizes={NAME: 1024}), Path(scratch))
        keeping = Keeping(life.engine)
        keeping.want(wish())
        life.provide = keeping.keeper.provide
        life.want(task(1, volumes=MOUNTS), task(2, volumes=MOUNTS), task(3))
        sampler = UsageSampler(life.engine)
        sampler.watch(life.reconciler, TrafficStore(Path(scratch)), keeping.keeper)
        sampler.sample()
        assert [one.used_mb for one in keeping.keeper.reports() or ()] == [1024]
        life.engine.volume_sizes[NAME] = 1025
        sampler.sample()
        life.pool.run()
        assert life.seen(1) == life.seen(2) == ("exited", 1, "disk_limit")
        assert life.seen(3) == ("running", 1, None)
        (first, *_) = life.reconciler.observed()
        assert "V.3 holds more than the 1 GB" in first.message
