"""What a container tells of itself, and when it is asked."""

from pathlib import Path

import pytest

from agent.guest.report import parse
from agent.guest.watch import GuestWatch
from tests.agent.fakes import FakeEngine, Life, changed, task

KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPLoCHtgLyMY1Z6F9V1Ml8r4fJZLa0eXVm6hRHN3Pp1M root@C.1\n"
FINGERPRINT = "ssh-ed25519 SHA256:"


def test_keys_are_told_by_their_fingerprints() -> None:
    keys = parse({"host_keys": KEY}).host_keys
    assert keys is not None
    assert keys[0].startswith(FINGERPRINT)
    assert len(keys[0]) == len(FINGERPRINT) + 43


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\xff\xfe\x00",
        b"ssh-ed25519",
        b"ssh-ed25519 !!!",
        b"<b>x</b> AAAA",
        b"a " * 9999,
        b"\n" * 50,
        b"ssh-x \xc3\xa4",
    ],
)
def test_what_is_no_key_is_left_out(nonsense: bytes) -> None:
    assert parse({"host_keys": nonsense}).host_keys is None


def test_no_more_keys_than_a_server_has() -> None:
    keys = parse({"host_keys": KEY * 100}).host_keys
    assert keys is not None
    assert len(keys) == 8


@pytest.mark.parametrize(
    ("content", "code", "output"),
    [
        (b"0\n", 0, ""),
        (b"0\nnever mind", 0, ""),
        (b"3\none\ntwo\n", 3, "one\ntwo"),
        (b"127\n\x1b[31mred\x00\xff\n", 127, "[31mred �"),
        (b"runs\n", None, ""),
        (b"-1\nx", None, ""),
        (b"99999\nx", None, ""),
        (b"", None, ""),
        (b"1\n" + b"x" * 9000, 1, "x" * 2000),
    ],
)
def test_the_end_of_the_script(content: bytes, code: int | None, output: str) -> None:
    report = parse({"onstart": content})
    assert (report.onstart_exit_code, report.onstart_output) == (code, output)
    assert report.onstart_runs == (content == b"runs\n")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_asked_until_the_script_has_ended_and_again_in_the_next_run(tmp_path: Path) -> None:
    engine, clock, news = FakeEngine(), Clock(), []
    life, watch = Life(engine, tmp_path), GuestWatch(engine, clock=clock)
    watch.watch(life.reconciler, lambda: news.append("news"))
    watch.look()
    assert engine.reads == 0
    life.want(task())
    engine.told = {"host_keys": KEY, "onstart": b"runs\n"}
    watch.look()
    watch.look()
    assert (engine.reads, news) == (1, ["news"]), "not twice in the same instant"
    (told,) = life.reconciler.observed()
    assert (told.host_keys is not None, told.onstart_exit_code) == (True, None)
    engine.told["onstart"] = b"5\nwhy\n"
    for _ in range(3):
        clock.now += 10.0
        watch.look()
    (told,) = life.reconciler.observed()
    assert (told.onstart_exit_code, told.onstart_output) == (5, "why")
    assert (engine.reads, news) == (2, ["news"] * 2), "left alone once it has ended"
    life.want(changed(task(), run_generation=2))
    (told,) = life.reconciler.observed()
    assert told.onstart_exit_code is None
    engine.told["onstart"] = b"0\n"
    watch.look()
    (told,) = life.reconciler.observed()
    assert (told.onstart_exit_code, told.run_generation) == (0, 2)


def test_commands_are_not_asked(tmp_path: Path) -> None:
    engine = FakeEngine()
    life, watch = Life(engine, tmp_path), GuestWatch(engine)
    watch.watch(life.reconciler, lambda: None)
    life.want(task(mode="args"))
    watch.look()
    assert engine.reads == 0
    watch.unwatch(life.reconciler)
