"""The demo's supervisor: what ends is started again with a growing pause; nothing is left behind."""

import json
import subprocess
from pathlib import Path

import psutil

from scripts.demo.supervisor import Service, Supervisor, end_left_overs
from scripts.services.processes import ManagedProcess


class Scene:
    """A supervisor under a clock that moves when told."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.register = folder / "processes.json"
        self.folder = folder
        self.supervisor = Supervisor(self.register, self.said.append, lambda: self.now)

    def add(self, *command: str) -> Service:
        service = Service(ManagedProcess("one", command, self.folder / "one.log"), grace_seconds=5)
        self.supervisor.add(service)
        return service

    def tend_after(self, seconds: float) -> None:
        self.now += seconds
        self.supervisor.tend()


def ended(service: Service) -> int:
    """Wait for its process to end by itself; the pid it had."""
    assert service.process.popen is not None
    service.process.popen.wait(20)
    return service.process.pid


def test_a_process_that_ends_is_started_again_after_a_growing_pause(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    service = scene.add("false")

    pauses = []
    for _ in range(4):
        first = ended(service)
        scene.tend_after(0)
        pauses.append(service.retry_at - scene.now if service.retry_at is not None else None)
        scene.tend_after(pauses[-1] or 0)
        assert service.process.pid != first

    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert "one ended with code 1; starting it again in 0.5 s" in scene.said[0]
    scene.supervisor.stop()


def test_a_long_life_makes_the_pause_short_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    service = scene.add("true")
    service.pause_seconds = 30.0
    ended(service)

    scene.tend_after(61)

    assert service.retry_at == scene.now + 0.5
    scene.supervisor.stop()


def test_the_command_is_prepared_anew_at_each_start(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    process = ManagedProcess("one", [], tmp_path / "one.log")
    starts: list[int] = []

    def prepare() -> None:
        starts.append(len(starts))
        process.command = ["sh", "-c", f"echo start {starts[-1]}"]

    service = Service(process, prepare)
    scene.supervisor.add(service)
    ended(service)
    scene.tend_after(0)
    scene.tend_after(1)
    ended(service)

    assert process.log.read_text() == "start 0\nstart 1\n"


def test_all_end_and_none_is_registered_any_more(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    processes = [psutil.Process(scene.add("sleep", "600").process.pid) for _ in range(2)]
    assert set(json.loads(scene.register.read_text())) == {str(process.pid) for process in processes}

    scene.supervisor.stop()

    assert not any(process.is_running() for process in processes)
    assert not scene.register.exists()


def test_left_overs_are_ended_and_strangers_spared(tmp_path: Path) -> None:
    left_over = subprocess.Popen(["sleep", "600"], start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    register = tmp_path / "processes.json"
    born = psutil.Process(left_over.pid).create_time()
    register.write_text(json.dumps({str(left_over.pid): born, str(stranger.pid): born - 1000}))

    assert end_left_overs(register, grace_seconds=0) == 1

    assert left_over.wait(20) != 0
    assert stranger.poll() is None
    assert not register.exists()
    stranger.kill()
    stranger.wait()
