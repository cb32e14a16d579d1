"""A Docker engine: the one that runs, or one that we start and end again.

    python -m scripts.engine start      make sure that one answers (and keep it until `stop`)
    python -m scripts.engine stop       end it, if it was started here and nothing else of ours uses it
    python -m scripts.engine status

There is one engine on a machine, shared by every checkout, the demo and the tests. So what we know of it
lies in /run: who started it, and which of our runs hold it. The last holder that leaves stops an engine of
ours; an engine that somebody else runs is never touched, and a second one is never started beside it.
"""

import argparse
import fcntl
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.services.launching import ServiceError, tail, wait_until

STATE = Path("/run/spotyard-engine")
START_TIMEOUT_SECONDS = 60
ENGINE_NAME = "dockerd"
ENGINE_PID_FILE = Path("/run/docker.pid")
SYSTEMD = Path("/run/systemd/system")
KEEP = "keep"


def ensure(holder: str, *, holder_pid: int | None) -> str:
    """Have an engine that answers and note that ``holder`` uses it.

    ``holder_pid`` is the process whose life the hold is tied to; None keeps it until released by name.
    Returns a sentence on where the engine comes from. Raises ServiceError when there is none and none may be
    started.
    """
    if os.geteuid() != 0:
        if answers():
            return "using the Docker engine that runs here"
        raise ServiceError(_NOT_ROOT)
    with _lock():
        origin = _ensure_locked()
        (STATE / "holders").mkdir(exist_ok=True)
        (STATE / "holders" / holder).write_text(_identity(holder_pid) if holder_pid else KEEP)
    return origin


def release(holder: str) -> None:
    """End ``holder``'s use; stops the engine when we started it and no other holder is alive."""
    if os.geteuid() != 0 or not STATE.exists():
        return
    with _lock():
        (STATE / "holders" / holder).unlink(missing_ok=True)
        if not _live_holders():
            _stop_ours()


def answers() -> bool:
    """Whether a Docker engine answers, on the default socket or at DOCKER_HOST."""
    if shutil.which("docker") is None:
        return False
    try:
        result = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


_NOT_ROOT = (
    "No Docker engine answers and only root may start one. Either start Docker (and add yourself to the "
    "group 'docker'), set DOCKER_HOST to an engine, or run this command as root on Debian or Ubuntu."
)


def _ensure_locked() -> str:
    if answers():
        return "using the Docker engine that runs here" if _ours() is None else "using the Docker engine started before"
    if os.environ.get("DOCKER_HOST"):
        raise ServiceError(f"DOCKER_HOST={os.environ['DOCKER_HOST']} is set, but no Docker engine answers there")
    if shutil.which("dockerd") is None:
        raise ServiceError("No Docker engine is installed. On Debian or Ubuntu: scripts/bootstrap.sh --engine")
    if SYSTEMD.exists() and _systemd_starts_it():
        return "started Docker's systemd service (it stays)"
    if _engine_pid() is not None:
        # It exists and does not answer yet. A second one beside it would delete its network bridge.
        _wait_for_answer(None)
        return "using the Docker engine that was starting"
    _start_ours()
    return "started a Docker engine"


def _systemd_starts_it() -> bool:
    result = subprocess.run(["systemctl", "start", "docker"], capture_output=True, check=False)
    return result.returncode == 0 and answers()


def _start_ours() -> None:
    log = STATE / "dockerd.log"
    _raise_open_files_limit()
    with log.open("wb") as output:
        process = subprocess.Popen(["dockerd"], stdout=output, stderr=output, start_new_session=True, cwd="/")
    (STATE / "engine").write_text(_identity(process.pid))
    _wait_for_answer(process)


def _wait_for_answer(process: "subprocess.Popen[bytes] | None") -> None:
    log = STATE / "dockerd.log"

    def ready() -> bool:
        if process is not None and process.poll() is not None:
            raise ServiceError(f"dockerd ended with code {process.returncode}; {log}:\n{tail(log)}")
        return answers()

    failure = f"The Docker engine does not answer after {START_TIMEOUT_SECONDS} s; see {log}"
    wait_until(ready, timeout_seconds=START_TIMEOUT_SECONDS, failure=lambda: failure)


def _stop_ours() -> None:
    process = _ours()
    if process is None:
        return
    try:
        process.terminate()
        process.wait(timeout=60)
    except psutil.TimeoutExpired:
        process.kill()
    except psutil.NoSuchProcess:
        pass
    (STATE / "engine").unlink(missing_ok=True)


def _ours() -> psutil.Process | None:
    """The engine process that we started, while it lives."""
    return _process_of(STATE / "engine")


def _engine_pid() -> int | None:
    try:
        pid = int(ENGINE_PID_FILE.read_text())
        return pid if psutil.Process(pid).name() == ENGINE_NAME else None
    except (OSError, ValueError, psutil.Error):
        return None


def _live_holders() -> list[str]:
    folder = STATE / "holders"
    live = []
    for path in folder.iterdir() if folder.exists() else []:
        if path.read_text() == KEEP or _process_of(path) is not None:
            live.append(path.name)
        else:
            path.unlink(missing_ok=True)
    return live


def _identity(pid: int) -> str:
    """A process by pid and birth time: pids come round again."""
    return f"{pid} {psutil.Process(pid).create_time()}"


def _process_of(path: Path) -> psutil.Process | None:
    try:
        pid, born = path.read_text().split()
        process = psutil.Process(int(pid))
        alive = abs(process.create_time() - float(born)) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return process if alive else None


def _raise_open_files_limit() -> None:
    """Containers inherit the engine's limits; the usual 1024 is too few for a training job."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _lock() -> Iterator[None]:
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Have a Docker engine, or end the one started here.")
    parser.add_argument("action", choices=["start", "stop", "status"])
    arguments = parser.parse_args()
    try:
        if arguments.action == "start":
            print(ensure("manual", holder_pid=None))
        elif arguments.action == "stop":
            release("manual")
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.action == "status":
        print("answers" if answers() else "no engine answers")
        print(
            "started here" if _ours() else "not started here",
            "· holders:",
            ", ".join(_live_holders()) or "none",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
