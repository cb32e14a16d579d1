"""Which version of the agent is started: a pure rule, and what is written down of it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.installer import launch
from agent.installer.launch import MOST_STARTS, LaunchError, LaunchState, confirmed, decide, given_up, refused, tried
from tests.agent.marketplace import Marketplace

OLD, NEW, NEWER = "0.1.0+aaaaaaaa", "0.1.0+bbbbbbbb", "0.1.0+cccccccc"
BOTH = [OLD, NEW]


def test_without_a_trial_the_good_one_runs() -> None:
    state = LaunchState(good=OLD)
    assert decide(state, BOTH) == (OLD, state)


def test_a_trial_is_started_a_few_times_and_then_given_up() -> None:
    state = tried(LaunchState(good=OLD), NEW)
    for starts in range(1, MOST_STARTS + 1):
        version, state = decide(state, BOTH)
        assert (version, state.starts) == (NEW, starts)
    version, state = decide(state, BOTH)
    assert (version, state.trial, state.failed) == (OLD, "", NEW)
    assert state.why == "it ended 3 times before it had spoken with the marketplace"
    assert decide(state, BOTH) == (OLD, state)


def test_what_failed_is_not_tried_again_until_there_is_another() -> None:
    state = LaunchState(good=OLD, failed=NEW, why="it did not start")
    assert tried(state, NEW) == state
    assert tried(state, OLD) == state
    assert tried(state, NEWER).trial == NEWER


def test_a_confirmed_trial_is_the_good_one() -> None:
    state = decide(tried(LaunchState(good=OLD), NEW), BOTH)[1]
    assert confirmed(state, OLD) == state
    assert confirmed(state, NEW) == LaunchState(good=NEW)


def test_a_trial_that_is_not_complete_on_the_disk_is_given_up() -> None:
    version, state = decide(LaunchState(good=OLD, trial=NEW), [OLD])
    assert (version, state.failed, state.why) == (OLD, NEW, "it is not complete on the disk")


def test_with_nothing_to_fall_back_on_the_trial_goes_on() -> None:
    assert decide(LaunchState(good=OLD, trial=NEW, starts=99), [NEW])[0] == NEW
    with pytest.raises(LaunchError, match="installer again"):
        decide(LaunchState(good=OLD), [])


def test_a_version_that_can_t_be_started_at_all_is_refused() -> None:
    assert refused(LaunchState(good=OLD), NEW, "x") == LaunchState(good=OLD, failed=NEW, why="x")
    assert refused(LaunchState(good=OLD, trial=NEW, starts=1), NEW, "x").trial == ""


EVENTS = st.lists(
    st.sampled_from(["start", "try b", "try c", "confirm", "time over", "b vanishes", "c vanishes"]), max_size=40
)


@given(EVENTS)
def test_whatever_happens_something_runs_that_is_there_and_no_failure_comes_back(events: list[str]) -> None:
    """``a`` is complete for ever; b and c may go. A trial is started at most a few times."""
    state, there, running = LaunchState(good="a"), {"a", "b", "c"}, "a"
    starts: dict[str, int] = {}
    for event in events:
        before = state
        if event == "start":
            running, state = decide(state, there)
            assert running in there
            if running == state.trial:
                starts[running] = starts.get(running, 0) + 1
                assert running != before.failed
                assert starts[running] <= MOST_STARTS
        elif event.startswith("try"):
            state = tried(state, event[-1])
            if state.trial != before.trial:
                starts[state.trial] = 0
        elif event == "confirm":
            state = confirmed(state, running)
        elif event == "time over" and state.trial:
            state = given_up(state, "time")
        elif event.endswith("vanishes") and event[0] not in (state.good, running):
            there.discard(event[0])
        assert state.good in there
        assert state.trial != state.good


def test_the_state_is_read_with_care(tmp_path: Path) -> None:
    file = tmp_path / "launch.json"
    assert launch.read_state(file) == LaunchState()
    for nonsense in ("", "[]", "{", '{"good": 3}', '{"starts": "x"}', '{"good": null}'):
        file.write_text(nonsense)
        assert launch.read_state(file) == LaunchState()
    file.write_text('{"good": "a", "unknown": 1}')
    assert launch.read_state(file) == LaunchState(good="a")


def test_the_state_is_for_root_alone_and_changed_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "launch.json"
    launch.change_state(file, lambda state: replace(state, good=OLD))
    assert json.loads(file.read_text())["good"] == OLD
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError):
        launch.change_state(file, lambda _: LaunchState(starts=1 // 0))
    assert launch.change_state(file, lambda state: state).good == OLD


def test_current_leads_to_what_runs(tmp_path: Path) -> None:
    (tmp_path / "versions" / OLD).mkdir(parents=True)
    launch.point_at(tmp_path, OLD)
    launch.point_at(tmp_path, OLD)
    assert (tmp_path / "current").readlink() == Path("versions") / OLD
    (tmp_path / ".current.new").symlink_to("versions/half-done")
    launch.point_at(tmp_path, NEW)
    assert (tmp_path / "current").readlink() == Path("versions") / NEW
    assert launch.installed_versions(tmp_path) == [OLD]


_GUARDED = """
import sys, time
from pathlib import Path
from agent.installer import launch
launch._LOOK_SECONDS = 0.05
launch.watch_trial(Path(sys.argv[1]), "b", float(sys.argv[2]))
print("watched", flush=True)
if sys.argv[3] == "confirm":
    launch.change_state(Path(sys.argv[1]), lambda state: launch.confirmed(state, "b"))
sys.stdin.read()
"""


def guarded(file: Path, seconds: float, then: str) -> "subprocess.Popen[str]":
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", _GUARDED, str(file), str(seconds), then]
    return subprocess.Popen(command, **pipes, text=True, env=os.environ)  # type: ignore[call-overload,no-any-return]  # **pipes hides the types


def test_a_trial_that_hangs_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    file = tmp_path / "launch.json"
    launch.change_state(file, lambda _: LaunchState(good="a", trial="b", starts=1))
    with guarded(file, 0.2, "hang") as process:
        assert process.wait(30) == -9
    state = launch.read_state(file)
    assert (state.good, state.trial, state.failed) == ("a", "", "b")
    assert "did not speak with the marketplace" in state.why


def test_a_trial_that_confirmed_itself_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "launch.json"
    launch.change_state(file, lambda _: LaunchState(good="a", trial="b", starts=1))
    with guarded(file, 0.5, "confirm") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        while launch.read_state(file).good != "b":
            assert process.poll() is None
        assert process.stdout.readline() == "watched\n"
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stdout.read() == "", "the guard, which had the pipe too, has ended"


def test_going_back_to_what_ran_well_ends_a_trial() -> None:
    state = LaunchState(good=OLD, trial=NEW, starts=1)
    assert tried(state, OLD) == LaunchState(good=OLD)


def test_with_what_was_written_down_lost_the_newest_version_runs() -> None:
    assert decide(LaunchState(), BOTH) == (NEW, LaunchState(good=NEW))
    assert decide(LaunchState(failed=NEW), BOTH)[0] == OLD
    assert decide(LaunchState(failed=NEW), [NEW])[0] == NEW


def prepared(tmp_path: Path, state: LaunchState) -> launch.Places:
    places = launch.Places(tmp_path)
    for age, version in enumerate(BOTH):
        (places.opt / "versions" / version).mkdir(parents=True)
        os.utime(places.opt / "versions" / version, (age, age))
    launch.change_state(places.state, lambda _: state)
    return places


def test_a_full_disk_tries_nothing_new_and_keeps_nothing_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = prepared(tmp_path, LaunchState(good=OLD, trial=NEW))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(launch, "_write", full)
        patch.setattr(Path, "symlink_to", full)
        assert launch.prepare(places) == (OLD, False)
    assert launch.prepare(places) == (NEW, True)
    assert (places.opt / "current").readlink() == Path("versions") / NEW


def guard(tmp_path: Path, answers: list[bool]) -> LaunchState:
    """The trial of a version that never speaks, with what the marketplace would have said at the end of each period."""
    file = tmp_path / "launch.json"
    launch.change_state(file, lambda _: LaunchState(good="a", trial="b", starts=1))
    left = iter(answers)

    def answer() -> bool:
        try:
            return next(left)
        except StopIteration:
            launch.change_state(file, lambda state: confirmed(state, "b"))
            return False

    launch._guard(file, "b", lambda: True, 0.001, answer)
    return launch.read_state(file)


@pytest.mark.parametrize(
    ("answers", "failed"),
    [([True], "b"), ([False, True, True], "b"), ([False, False], ""), ([False, True, False, True], "")],
)
def test_a_marketplace_that_is_away_is_not_the_version_s_fault(
    tmp_path: Path, answers: list[bool], failed: str
) -> None:
    assert guard(tmp_path, answers).failed == failed


def test_even_a_marketplace_that_is_away_for_hours_ends_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "LONGEST_TRIAL_SECONDS", 0.0)
    assert guard(tmp_path, [False] * 9).failed == "b"


def test_whether_the_marketplace_answers(tmp_path: Path) -> None:
    with Marketplace() as market:
        config = tmp_path / "agent.conf"
        config.write_text(f"# mine\n--server={market.url}\n")
        assert launch.site_answers(config), "a status that is no server's fault is an answer"
    assert not launch.site_answers(config)
    config.write_text("--server=nonsense\n")
    assert not launch.site_answers(config)
