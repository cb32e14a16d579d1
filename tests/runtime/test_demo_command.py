"""`make demo` refuses clearly: a second one, a taken port, a port that is none."""

import fcntl
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo import agents, cli
from scripts.demo.layout import Layout
from scripts.demo.run import Demo, rotate_logs
from scripts.services.launching import ServiceError, free_port


def test_a_second_demo_says_where_the_first_runs(tmp_path: Path) -> None:
    layout = Layout(8000, tmp_path)
    with layout.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        json.dump({"pid": 4711, "url": "http://127.0.0.1:8300"}, held)
        held.flush()

        with pytest.raises(ServiceError, match=r"runs at http://127\.0\.0\.1:8300 \(process 4711\); make demo-stop"):
            cli.take_lock(layout)


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.demo.run.engine.release", lambda _holder: None)
    monkeypatch.setattr("scripts.demo.run.engine.answers", lambda: False)
    port = free_port()
    layout = Layout(port, tmp_path)
    layout.data.mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()

        with pytest.raises(ServiceError, match=rf"Port {port} is taken.*make demo PORT="):
            Demo(layout, began=0.0).run()


@pytest.mark.parametrize("port", ["eighty", "80", "65535", ""])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo.cli", "start", "--port", port], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert f"PORT={port!r} is not usable: it must be a number from 1024 to 65532" in done.stderr


def test_each_run_begins_empty_logs_and_keeps_three_old_ones(tmp_path: Path) -> None:
    for run in range(6):
        rotate_logs(tmp_path)
        (tmp_path / "web.log").write_text(f"run {run}")

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "web.log": "run 5",
        "web.log.1": "run 4",
        "web.log.2": "run 3",
        "web.log.3": "run 2",
    }


def test_agents_follow_the_demo_to_another_port(tmp_path: Path) -> None:
    state = {
        "boot_id": "b",
        "server": "http://127.0.0.1:8001",
        "sync_url": "http://127.0.0.1:8001/sync",
        "machine_id": 1,
    }
    moved, fresh = tmp_path / "agent" / "state.json", tmp_path / "fleet" / "one" / "state.json"
    for path, content in ((moved, state), (fresh, {"boot_id": "c"})):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))

    agents.follow([tmp_path / "agent", tmp_path / "fleet"], "http://127.0.0.1:8501")

    new = {"server": "http://127.0.0.1:8501", "sync_url": "http://127.0.0.1:8501/sync"}
    assert json.loads(moved.read_text()) == state | new
    assert json.loads(fresh.read_text()) == {"boot_id": "c"}
