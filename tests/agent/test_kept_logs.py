"""Logs outlive their containers: written down before these go, handed in when the server listens."""

import os
import time
import zlib
from pathlib import Path

import pytest

from agent.engine.types import TaskError
from agent.jobs.courier import Courier
from agent.kept_logs import KeptLogs
from agent.protocol import MOST_KEPT_LOG_BYTES
from agent.server import RefusedError, ServerAwayError, ServerClient
from tests.agent.fakes import FakeEngine, Life, ProcessKilledError, task


class LogCourier(Courier):
    """Keeps what it is given, or refuses it."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(ServerClient, str, "")
        self.error = error
        self.logs: list[tuple[int, str, bytes]] = []

    def send_log(self, task_id: int, container_id: str, content: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.logs.append((task_id, container_id, zlib.decompress(content)))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(log=b"last words\n")


@pytest.fixture
def logs(engine: FakeEngine, tmp_path: Path) -> KeptLogs:
    return KeptLogs(tmp_path / "logs", engine)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "logs").iterdir())


def remove(engine: FakeEngine, logs: KeptLogs, tmp_path: Path) -> Life:
    life = Life(engine, tmp_path / "tasks", keep_log=logs.keep)
    life.want(task())
    life.want(task(state="removed"))
    return life


def test_the_log_is_handed_in_once_though_the_server_was_away(
    engine: FakeEngine, logs: KeptLogs, tmp_path: Path
) -> None:
    assert remove(engine, logs, tmp_path).seen() == ("removed", 1, None)
    courier = LogCourier(ServerAwayError("away"))
    assert logs.hand_in(courier) is False
    courier.error = None
    assert KeptLogs(tmp_path / "logs", engine).hand_in(courier) is True
    assert courier.logs == [(1, "id-spotyard-7-1-01234567", b"last words\n")]
    assert files(tmp_path) == []
    assert logs.hand_in(courier) is True
    assert len(courier.logs) == 1


def test_it_is_on_the_disk_before_the_container_goes(engine: FakeEngine, logs: KeptLogs, tmp_path: Path) -> None:
    def die(name: str) -> None:
        if name == "before remove":
            raise ProcessKilledError

    engine.interrupt = die
    with pytest.raises(ProcessKilledError):
        remove(engine, logs, tmp_path)
    (file,) = files(tmp_path)
    assert zlib.decompress(file.read_bytes()) == b"last words\n"


def test_a_moved_task_hands_in_the_log_of_each_container(engine: FakeEngine, logs: KeptLogs, tmp_path: Path) -> None:
    life = Life(engine, tmp_path / "tasks", keep_log=logs.keep)
    life.want(task(gpu_uuids=["A"]))
    life.want(task(gpu_uuids=["B"], run_generation=2))
    assert life.seen() == ("running", 2, None)
    courier = LogCourier()
    logs.hand_in(courier)
    assert [container for _, container, _ in courier.logs] == ["id-spotyard-7-1-01234567"]


def test_a_log_that_cannot_be_read_holds_up_no_removal(engine: FakeEngine, logs: KeptLogs, tmp_path: Path) -> None:
    engine.log_error = TaskError("engine_error", "The log is damaged.")
    assert remove(engine, logs, tmp_path).seen() == ("removed", 1, None)
    assert files(tmp_path) == []


def test_what_the_server_refuses_or_is_a_day_old_is_dropped(engine: FakeEngine, logs: KeptLogs, tmp_path: Path) -> None:
    Life(engine, tmp_path / "tasks").want(task())
    container = next(iter(engine.containers.values())).container_id
    engine.log = b"x" * (MOST_KEPT_LOG_BYTES + 5)
    logs.keep(1, container)
    assert logs.hand_in(LogCourier(RefusedError(404, "no_such_task", "No such task."))) is True
    assert files(tmp_path) == []
    logs.keep(1, container)
    (file,) = files(tmp_path)
    assert len(zlib.decompress(file.read_bytes())) == MOST_KEPT_LOG_BYTES
    yesterday = time.time() - 25 * 3600
    os.utime(file, (yesterday, yesterday))
    courier = LogCourier()
    logs.hand_in(courier)
    assert (courier.logs, files(tmp_path)) == ([], [])
