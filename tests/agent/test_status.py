"""What ``spotyard-agent status`` says, and what systemd hears."""

import json
import os
import socket
from pathlib import Path

import pytest

from agent.protocol import ErrorReply
from agent.upkeep import status, systemd
from agent.upkeep.status import Status, TaskStatus
from tests.agent.marketplace import TOKEN, Marketplace
from tests.agent.program import NO_ENGINE, run, running

NOW = 1_000_000.0
GOOD = Status(
    told_at=NOW,
    pid=os.getpid(),
    version="0.1.0+a",
    server="https://spotyard.example",
    machine_id=7,
    connected=True,
    last_sync_at=NOW - 3,
    tasks=[TaskStatus(task_id=12, phase="running", age_seconds=7300.0)],
    jobs_running=1,
    pending_reports=2,
    disk_free_gb=120.4,
    disk_total_gb=500.0,
)


def test_people_read_how_the_agent_is() -> None:
    assert list(status.as_text(GOOD, alive=True, now=NOW + 5)) == [
        f"Agent        0.1.0+a, running as process {os.getpid()}",
        "Marketplace  https://spotyard.example, machine 7",
        "Connection   connected, last answer 8 s ago",
        "Engine       works",
        "Disk         120 of 500 GB free",
        "Update       none under way",
        "To report    2 pending",
        "Tasks        1, 1 jobs under way",
        "  12         running for 2 h",
    ]


def test_what_is_wrong_is_said() -> None:
    bad = Status(told_at=NOW, pid=1, version="a", server="https://x", problem="no connection", engine_error="away")
    lines = "\n".join(status.as_text(bad, alive=False, now=NOW + 200))
    assert "NOT running; it last told of itself 3 min ago" in lines
    assert "not registered" in lines
    assert "NOT connected, no answer yet: no connection" in lines
    assert "Engine       away" in lines
    refused = Status(told_at=NOW, pid=1, version="a", server="https://x", refused="Revoked.")
    assert "refused: Revoked." in "\n".join(status.as_text(refused, alive=True, now=NOW))


def test_a_process_that_says_nothing_any_more_is_not_alive() -> None:
    assert status.is_alive(GOOD, NOW + 30)
    assert not status.is_alive(GOOD, NOW + 61)
    assert not status.is_alive(Status(told_at=NOW, pid=2**22 + 1, version="a", server=""), NOW)


def test_the_command_reads_what_the_agent_wrote(tmp_path: Path) -> None:
    code, output = run("status", "--state-dir", tmp_path)
    assert (code, "No agent has run" in output) == (1, True)
    status.write(tmp_path, GOOD)
    code, output = run("status", "--json", "--state-dir", tmp_path)
    told = json.loads(output)
    assert code == 1, "it is old"
    assert (told["alive"], told["machine_id"], told["tasks"][0]["phase"]) == (False, 7, "running")
    assert (tmp_path / status.FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / status.FILE).write_text("{")
    assert status.read(tmp_path) is None


def test_options_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("# how it runs\n\n--server=ftp://nowhere\n  --simulate=2x RTX 3090\n")
    code, output = run(f"@{tmp_path}/conf", "--state-dir", tmp_path / "s")
    assert code == 1
    assert "“ftp://nowhere” is no server address" in output


def test_the_log_goes_to_a_file_and_what_is_wrong_to_the_journal_too(tmp_path: Path) -> None:
    options = ("--server", "http://127.0.0.1:9", "--state-dir", tmp_path / "s", "--no-firewall", "--simulate", "L4")
    code, output = run(*options, "--log-file", tmp_path / "log" / "agent.log")
    assert code == 1
    assert "not registered yet" in output
    assert (tmp_path / "log" / "agent.log").exists()


def test_an_agent_without_its_marketplace_works_on_and_says_so(tmp_path: Path) -> None:
    """Through a restart, too: it is the same machine afterwards, and registers no second time."""
    with Marketplace() as market:
        options = ("--server", market.url, "--state-dir", tmp_path, "--no-firewall", "--simulate", "L4")
        market.holds = False  # so that answers come quickly

        def connected() -> bool | None:
            told = status.read(tmp_path)
            return told.connected if told is not None else None

        with running(*options, "--token", TOKEN, environment=NO_ENGINE):
            market.await_that(lambda: connected() is True)
            market.refusal = (503, ErrorReply(error="away", msg="Back soon."))
            market.await_that(lambda: connected() is False)
        with running(*options, environment=NO_ENGINE) as process:
            market.await_that(lambda: (told := status.read(tmp_path)) is not None and told.pid == process.pid)
            market.await_that(lambda: "Back soon." in (status.read(tmp_path) or GOOD).problem)
            told = status.read(tmp_path)
            assert told is not None
            assert (told.connected, told.machine_id) == (False, market.machine_id)
            market.refusal = None
            market.await_that(lambda: connected() is True)
        assert len(market.registrations) == 1


def test_systemd_is_told_as_long_as_the_agent_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.notify("READY=1")
        assert listener.recv(100) == b"READY=1"
        ages = iter([0.0, 5.0, 0.01])
        dog = systemd.Watchdog(lambda: next(ages, 5.0), 0.04)
        dog.start()
        assert listener.recv(100) == b"WATCHDOG=1"
        assert listener.recv(100) == b"WATCHDOG=1"
        dog.stop()
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.recv(100)


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/socket")
    systemd.notify("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "180000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_seconds() == 180
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_seconds() is None
