"""Results of tasks: read from what the container wrote, and told until the server has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from docker.api.client import APIClient
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.output import last_line
from agent.engine.types import EngineDownError
from agent.protocol import MOST_RESULT_BYTES, DesiredTask, ObservedTask, decode, encode
from tests.agent.fakes import FakeEngine, Life, changed, task

NAME = "spotyard-7-1-01234567"
WISH = task(mode="args", args=["measure"], result_bytes=1000)


def told(life: Life) -> ObservedTask:
    (observed,) = life.reconciler.observed()
    return observed


def ended(directory: Path, wish: DesiredTask = WISH, output: str = '{"speed": 1}') -> Life:
    """A life in which the task's container has run to its end."""
    life = Life(FakeEngine(output=output), directory)
    life.want(wish)
    assert told(life).result is None
    life.engine.end(NAME, exit_code=0)
    life.tick()
    return life


def test_the_last_line_is_told_with_the_end_until_the_task_is_removed(tmp_path: Path) -> None:
    life = ended(tmp_path)
    for _ in range(2):
        assert (told(life).phase, told(life).exit_code, told(life).result) == ("exited", 0, '{"speed": 1}')
        life.tick()
    life.want(changed(WISH, state="removed"))
    assert (told(life).phase, told(life).result) == ("removed", None)


def test_a_restarted_agent_reads_it_again(tmp_path: Path) -> None:
    engine = ended(tmp_path).engine
    again = Life(engine, tmp_path)
    assert (told(again).phase, told(again).result) == ("exited", None)
    again.want(WISH)
    assert told(again).result == '{"speed": 1}'
    assert again.changes[-1]


def test_it_is_read_once(tmp_path: Path) -> None:
    life = ended(tmp_path)
    life.engine.output = "something else"
    life.tick()
    life.reconciler.on_event(1)
    life.pool.run()
    assert told(life).result == '{"speed": 1}'


@pytest.mark.parametrize("output", ["", "x" * 1000])
def test_none_and_one_that_is_too_long_are_told_as_empty(tmp_path: Path, output: str) -> None:
    assert told(ended(tmp_path, output=output)).result == ""


def test_nothing_is_read_where_no_result_is_wanted(tmp_path: Path) -> None:
    assert told(ended(tmp_path, changed(WISH, result_bytes=0))).result is None


def test_the_server_can_not_ask_for_more_than_fits_in_a_report(tmp_path: Path) -> None:
    wish = changed(WISH, result_bytes=10 * MOST_RESULT_BYTES)
    assert told(ended(tmp_path, wish, output="x" * MOST_RESULT_BYTES)).result == ""


def test_while_the_engine_is_down_the_result_is_awaited(tmp_path: Path) -> None:
    life = Life(FakeEngine(output="42"), tmp_path)
    life.want(WISH)
    life.engine.end(NAME, exit_code=0)

    def fails(name: str) -> None:
        if name == "before last_line":
            raise EngineDownError("gone")

    life.engine.interrupt = fails
    life.tick()
    assert told(life).result is None
    life.engine.interrupt = lambda _name: None
    life.reconciler.on_engine_back()
    life.pool.run()
    assert (told(life).phase, told(life).result) == ("exited", "42")


def test_a_task_without_need_of_others_has_no_network(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(changed(WISH, network="none"), task(2, mode="args"))
    assert [plan.network for plan in life.engine.plans] == ["none", life.engine.plans[1].name]


def test_both_ends_understand_those_that_know_of_no_results() -> None:
    new = msgspec.json.decode(encode(WISH))
    for name in ("network", "result_bytes"):
        del new["spec"][name]
    assert decode(DesiredTask, msgspec.json.encode(new)) == changed(WISH, result_bytes=0)
    report = ObservedTask(task_id=1, phase="exited", run_generation=1, age_seconds=0.0)
    old = {name: value for name, value in msgspec.to_builtins(report).items() if name != "result"}
    assert decode(ObservedTask, msgspec.json.encode(old)) == report


class Log:
    """The engine's log of one container, handed out in chunks."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    def logs(self, _container_id: str, **_options: Any) -> Iterator[bytes]:
        return iter(self.chunks)


def read(chunks: list[bytes], most_bytes: int = 100) -> str:
    return last_line(cast(APIClient, Log(chunks)), "id", most_bytes)


@pytest.mark.parametrize(
    ("chunks", "line"),
    [
        ([], ""),
        ([b"\n\n"], ""),
        ([b"one\n", b"two\n"], "two"),
        ([b"one\ntw", b"o\n\n"], "two"),
        ([b"x" * 1000 + b"\n", b"short\n"], "short"),
        ([b"first\n", b"x" * 98 + b"\n"], "x" * 98),
        ([b"first\n", b"x" * 99 + b"\n"], ""),
        ([b"x" * 1000 + b"\n"], ""),
        ([b"a" * 60, b"b" * 60, b"c" * 60], ""),
        ([b'"' * 50 + b"\n"], ""),  # each of them takes two bytes in JSON
        ([b"\xff\n"], "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_last_line_of_the_log(chunks: list[bytes], line: str) -> None:
    assert read(chunks) == line


@given(st.lists(st.binary(max_size=80), max_size=30), st.integers(2, 60))
def test_it_is_the_last_line_in_whatever_chunks_it_comes_and_never_too_long(chunks: list[bytes], most: int) -> None:
    line = read(chunks, most)
    assert len(msgspec.json.encode(line)) <= most
    whole = b"".join(chunks).rstrip().rpartition(b"\n")[2].decode(errors="replace")
    assert line in (whole, "")
    if len(msgspec.json.encode(whole)) > most:
        assert line == ""
