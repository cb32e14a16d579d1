"""SIGKILL at every point of every way a task can go, on an engine in memory."""

import tempfile
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import DesiredState, DesiredTask
from tests.agent.fakes import FakeEngine, Life, ProcessKilledError, task

NAME = "spotyard-7-1-01234567"

Way = list[tuple[DesiredState, int, str]]
"""Wishes one after the other: state, run, GPU."""

WAYS: list[Way] = [
    [("running", 1, "A")],
    [("running", 1, "A"), ("stopped", 1, "A")],
    [("running", 1, "A"), ("running", 2, "A")],
    [("running", 1, "A"), ("stopped", 1, ""), ("running", 2, "A")],
    [("running", 1, "A"), ("removed", 1, "A")],
    [("running", 1, "A"), ("stopped", 1, ""), ("running", 2, "A"), ("running", 3, "A"), ("removed", 3, "A")],
    [("running", 1, "A"), ("running", 2, "B")],
    [("running", 1, "A"), ("stopped", 1, ""), ("running", 2, "B"), ("stopped", 2, "")],
    [("running", 1, "A"), ("running", 2, "B"), ("running", 3, "B"), ("running", 4, "A"), ("removed", 4, "A")],
]
FINAL = {"running": "running", "stopped": "stopped", "removed": "removed"}


class Killer:
    """Kills the agent at the n-th point passed, by checkpoint or in the engine's calls."""

    def __init__(self, points: set[int]) -> None:
        self.points = points
        self.passed = 0

    def pass_point(self, *_: object) -> None:
        self.passed += 1
        if self.passed in self.points:
            raise ProcessKilledError


def walk(way: Way, points: set[int], mode: str, directory: Path) -> tuple[Life, Killer]:
    """Carry out the wishes one after the other; each kill is followed by a new life with the same wish."""
    killer, engine = Killer(points), FakeEngine()
    engine.interrupt = killer.pass_point
    life = Life(engine, directory, killer.pass_point)
    for state, generation, gpu in way:
        wish = task(state=state, run_generation=generation, mode=mode, gpu_uuids=[gpu] if gpu else [])
        life = _until_done(life, wish, engine, directory, killer)
    return life, killer


def _until_done(life: Life, wish: DesiredTask, engine: FakeEngine, directory: Path, killer: Killer) -> Life:
    while True:
        try:
            life.want(wish)
            life.tick()
        except ProcessKilledError:
            life = Life(engine, directory, killer.pass_point)
        else:
            return life


@pytest.mark.parametrize("mode", ["ssh", "args"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(f"{state}{run}{gpu}" for state, run, gpu in way))
def test_killed_once_at_every_point(way: Way, mode: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _, killer = walk(way, set(), mode, Path(scratch) / "none")
        for point in range(1, killer.passed + 1):
            life, _ = walk(way, {point}, mode, Path(scratch) / str(point))
            check_end(life, way)


@settings(max_examples=150, deadline=None)
@given(
    way=st.sampled_from(WAYS),
    mode=st.sampled_from(["ssh", "args"]),
    points=st.sets(st.integers(min_value=1, max_value=60), max_size=6),
)
def test_killed_again_and_again(way: Way, mode: str, points: set[int]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        life, _ = walk(way, points, mode, Path(scratch))
        check_end(life, way)


def check_end(life: Life, way: Way) -> None:
    """The last wish is fulfilled, every run took place exactly once, nothing written is lost, nothing is left over."""
    engine = life.engine
    state, generation, _ = way[-1]
    assert life.seen() == (FINAL[state], generation, None)
    gpus = [gpu for _, gpu in sorted({(run, gpu) for wish, run, gpu in way if wish == "running"})]
    moves = sum(before != after for before, after in pairwise(gpus))
    assert len(engine.starts) == len(gpus)
    assert engine.written[NAME] == tuple(f"start {number}" for number in range(1, len(gpus) + 1))
    assert [plan.labels["spotyard.gpus"] for plan in engine.plans] == [gpu for gpu, _ in groupby(gpus)]
    assert len(engine.removed) == moves + (1 if state == "removed" else 0)
    if state == "removed":
        assert (engine.containers, set(engine.images), engine.existing_volumes) == ({}, {"image:1"}, set())
    else:
        assert list(engine.containers) == [NAME]
        assert set(engine.images) == {"image:1", engine.plans[-1].image}
        assert engine.existing_volumes == {"volume1"}
