"""Jobs on an agent: once, bounded, told until the server knows; killed at any point, with messages in any order."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disk.verbs import VERBS
from agent.engine.types import EngineDownError
from agent.job_protocol import DesiredJob
from agent.jobs.execute import COMMAND_SECONDS
from agent.jobs.handlers import handlers
from agent.jobs.kinds import Handler, JobContext, JobError, Outcome
from agent.jobs.workplace import Workplace
from agent.tasks.disk_guard import DiskBusyError, DiskGuard
from hosting.domain import jobs as server
from tests.agent.fakes import IDENTITY, FakeEngine, Life, ProcessKilledError, task
from tests.agent.job_life import Effect, JobLife, Server, job


class Killer:
    """Kills the agent at the n-th point passed."""

    def __init__(self, points: set[int]) -> None:
        self.points = points
        self.passed = 0

    def __call__(self, _name: str) -> None:
        self.passed += 1
        if self.passed in self.points:
            raise ProcessKilledError


def make(server: Server, directory: Path, killer: Killer, world: list[int], *, repeatable: bool) -> JobLife:
    server.point = killer
    return JobLife(server, directory, {"once": Effect(world, killer, repeatable)}, killer)


def live(server: Server, directory: Path, points: set[int], *, repeatable: bool) -> tuple[list[int], Killer]:
    """Until the server has heard the end of its jobs; each kill is followed by a new life."""
    world: list[int] = []
    killer = Killer(points)
    life = make(server, directory, killer, world, repeatable=repeatable)
    for _ in range(30):
        if not server.open:
            break
        try:
            life.sync()
        except ProcessKilledError:
            life = make(server, directory, killer, world, repeatable=repeatable)
    return world, killer


def check_end(server: Server, world: list[int], *, repeatable: bool) -> None:
    assert server.open == {}
    for job_id, end in server.ends.items():
        if end.state == "done":
            assert server.outputs[job_id] == b"output"
            assert end.result == {"told": 1}
            assert world.count(job_id) == 1 or repeatable
        else:
            assert (end.reason, repeatable) == ("interrupted", False)
            assert world.count(job_id) <= 1


@pytest.mark.parametrize("repeatable", [True, False])
def test_killed_once_at_every_point(repeatable: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        server = Server()
        server.ask(job(1))
        _, killer = live(server, Path(scratch) / "none", set(), repeatable=repeatable)
        assert killer.passed >= 7
        for point in range(1, killer.passed + 1):
            server = Server()
            server.ask(job(1))
            world, _ = live(server, Path(scratch) / str(point), {point}, repeatable=repeatable)
            assert list(server.ends) == [1]
            check_end(server, world, repeatable=repeatable)


@settings(max_examples=150)
@given(
    points=st.sets(st.integers(min_value=1, max_value=40), max_size=6),
    repeatable=st.booleans(),
    actions=st.lists(st.sampled_from(["sync", "late", "lost reports", "away", "back", "restart"]), max_size=14),
)
def test_messages_in_any_order_and_kills(points: set[int], repeatable: bool, actions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        server, world, killer = Server(), list[int](), Killer(points)
        server.ask(job(1), job(2))
        late = list(server.open.values())
        life = make(server, Path(scratch), killer, world, repeatable=repeatable)
        for action in [*actions, "back", *["sync"] * 12]:
            server.away = {"away": True, "back": False}.get(action, server.away)
            try:
                if action == "late":  # a reply from before anything was told
                    life.runner.apply(late)
                    life.pool.run()
                elif action == "lost reports":
                    life.runner.reports()
                elif action == "restart":
                    life = make(server, Path(scratch), killer, world, repeatable=repeatable)
                else:
                    life.sync()
            except ProcessKilledError:
                life = make(server, Path(scratch), killer, world, repeatable=repeatable)
        assert set(server.ends) == {1, 2}
        check_end(server, world, repeatable=repeatable)
        life.runner.apply(late)
        life.pool.run()
        check_end(server, world, repeatable=repeatable)


def test_a_job_whose_time_is_over_does_not_begin(tmp_path: Path) -> None:
    world: list[int] = []
    server = Server()
    server.ask(job(seconds_left=0.0))
    life = JobLife(server, tmp_path, {"once": Effect(world)})
    life.settle()
    assert world == []
    assert life.runner.reports() == []


def test_a_job_that_is_not_listed_any_more_is_told_to_end_and_never_told(tmp_path: Path) -> None:
    server = Server()
    server.ask(job())
    stopped: list[bool] = []

    def canceled_meanwhile(context: JobContext) -> None:
        server.open.clear()
        life.runner.apply([])
        stopped.append(context.must_end)

    life = JobLife(server, tmp_path, {"once": Effect([], during=canceled_meanwhile)})
    life.settle()
    assert stopped == [True]
    assert server.ends == {}
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


class Refusing:
    """A handler that comes to nothing."""

    repeatable = lasting = False

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self, context: JobContext) -> Outcome:  # noqa: ARG002 - the protocol's signature
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (JobError("own", "Why."), "own"),
        (EngineDownError("The engine is not running."), "engine_down"),
        (ValueError("surprise"), "agent_error"),
    ],
)
def test_a_failure_is_told_and_hurts_no_other(tmp_path: Path, error: Exception, reason: str) -> None:
    server, world = Server(), list[int]()
    server.ask(job(1, kind="bad"), job(2), job(3, kind="unheard_of"))
    table: dict[str, Handler] = {"bad": Refusing(error), "once": Effect(world)}
    JobLife(server, tmp_path, table).settle()
    assert (server.ends[1].state, server.ends[1].reason) == ("failed", reason)
    assert server.ends[1].message
    assert server.ends[2].state == "done"
    assert server.ends[3].reason == "unsupported"


def test_output_is_the_end_of_what_there_is(tmp_path: Path) -> None:
    server = Server()
    server.ask(job(most_output_bytes=4))
    JobLife(server, tmp_path, {"once": Effect([], output=b"0123456789")}).settle()
    assert server.outputs[1] == b"6789"


# --- the kinds --------------------------------------------------------------------------------------------------


def at_work(engine: FakeEngine, tmp_path: Path, server: Server, guard: DiskGuard | None = None) -> JobLife:
    """The agent's own handlers, with a task's container on the engine."""
    workplace = Workplace(
        engine=engine,
        identity=IDENTITY,
        disk_guard=guard or DiskGuard(),
        mount_point=tmp_path / "disk",
        has_room=lambda _mb: True,
    )
    return JobLife(server, tmp_path / "jobs", handlers(workplace))


def ask(engine: FakeEngine, tmp_path: Path, wanted: DesiredJob) -> Server:
    server = Server()
    server.ask(wanted)
    at_work(engine, tmp_path, server).settle()
    return server


def test_a_log_is_read_and_one_that_does_not_exist_is_told(tmp_path: Path) -> None:
    engine = FakeEngine(log=b"one\ntwo\n")
    nothing = ask(engine, tmp_path / "before", job(kind="logs"))
    assert nothing.ends[1].result == {"present": False, "cut": False}
    Life(engine, tmp_path / "tasks").want(task())
    whole = ask(engine, tmp_path / "whole", job(kind="logs"))
    assert (whole.outputs[1], whole.ends[1].result) == (b"one\ntwo\n", {"present": True, "cut": False})
    end = ask(engine, tmp_path / "end", job(kind="logs", most_output_bytes=4))
    assert (end.outputs[1], end.ends[1].result) == (b"two\n", {"present": True, "cut": True})


def test_a_log_is_followed_to_the_end_of_the_run(tmp_path: Path) -> None:
    engine = FakeEngine(log=b"one\ntwo\n")
    Life(engine, tmp_path / "tasks").want(task())
    server = ask(engine, tmp_path, job(kind="follow", most_output_bytes=0))
    assert (server.outputs[1], server.ends[1].state) == (b"one\ntwo\n", "done")


def test_a_command_runs_in_the_container(tmp_path: Path) -> None:
    engine = FakeEngine()
    Life(engine, tmp_path / "tasks").want(task())
    server = ask(engine, tmp_path, job(kind="execute", arguments={"command": "ls"}))
    assert server.outputs[1] == b"ran ls\n"
    assert server.ends[1].result == {"exit_code": 0, "where": "container", "ended_by": ""}


def test_a_question_is_put_beside_the_program_and_no_word_of_it_is_the_shells(tmp_path: Path) -> None:
    engine = FakeEngine()
    Life(engine, tmp_path / "tasks").want(task())
    words = ["python3", "-m", "program", '{"do": "$(reboot)"}']
    server = ask(engine, tmp_path, job(kind="ask", arguments={"words": words, "question": "ready"}))
    assert engine.commands[-1].endswith("""python3 -m program '{"do": "$(reboot)"}'""")
    assert server.ends[1].result == {"exit_code": 0, "ended_by": ""}
    assert server.outputs[1].startswith(b"ran python3")


def test_a_question_to_a_program_that_is_gone_says_so(tmp_path: Path) -> None:
    engine = FakeEngine()
    server = ask(engine, tmp_path / "none", job(kind="ask", arguments={"words": ["true"]}))
    assert server.ends[1].reason == "no_container"
    server = ask(engine, tmp_path / "bad", job(kind="ask", arguments={"words": 7}))
    assert server.ends[1].reason == "bad_arguments"


def test_a_command_for_no_container_or_no_readable_disk_says_why(tmp_path: Path) -> None:
    engine = FakeEngine()
    server = ask(engine, tmp_path / "none", job(kind="execute", arguments={"command": "ls"}))
    assert server.ends[1].reason == "no_container"
    life = Life(engine, tmp_path / "tasks")
    life.want(task())
    life.want(task(state="stopped"))
    server = ask(engine, tmp_path / "stopped", job(kind="execute", arguments={"command": "ls"}))
    assert server.ends[1].reason == "not_supported"
    assert engine.commands == []


@pytest.mark.parametrize("arguments", [{}, {"command": None}, {"command": ["a"]}])
def test_arguments_of_any_kind_do_no_harm(tmp_path: Path, arguments: dict[str, object]) -> None:
    engine = FakeEngine()
    Life(engine, tmp_path / "tasks").want(task())
    assert ask(engine, tmp_path, job(kind="execute", arguments=arguments)).ends[1].state == "done"
    assert ask(engine, tmp_path / "b", job(kind="logs", task_id=None)).ends[1].reason == "bad_arguments"


# --- the guard of disks -----------------------------------------------------------------------------------------


def test_a_step_ends_who_uses_the_disk_and_keeps_others_out() -> None:
    guard, ended = DiskGuard(), list[str]()
    using = guard.using(1, lambda: leave())
    using.__enter__()

    def leave() -> None:
        ended.append("ended")
        using.__exit__(None, None, None)

    with guard.kept_free(1):
        assert ended == ["ended"]
        with pytest.raises(DiskBusyError), guard.using(1, leave):
            pass
        with guard.using(2, leave):
            pass
    with guard.using(1, leave), pytest.raises(DiskBusyError), guard.using(1, leave):
        pass
    assert ended == ["ended"]


def test_help_and_server_name_what_the_agent_does() -> None:
    page = (
        Path("templates/marketplace/help/_logs.html").read_text().partition("does not run")[2].partition("one at a")[0]
    )
    assert sorted(re.findall("<code>([a-z]+)</code>", page)) == sorted(VERBS)
    assert COMMAND_SECONDS == server.COMMAND_SECONDS
    workplace = Workplace(
        engine=FakeEngine(), identity=IDENTITY, disk_guard=DiskGuard(), mount_point=Path(), has_room=lambda _mb: True
    )
    assert set(handlers(workplace)) == set(server.KINDS)
