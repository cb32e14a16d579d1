"""A clean Debian on which the installer runs: a container with apt, a stand-in for systemd, and the engine of this
machine as its own."""

import subprocess
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import docker
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parent.parent.parent
WHEELS = ROOT / "var" / "cache" / "agent-wheels"
_SYSTEMCTL = ROOT / "tests" / "plumbing" / "fake_systemctl.py"
_PASSING = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/cache",
    "/var/log/apt",
    "/var/log/dpkg.log",
    "/var/lib/docker",
    "/wheels",
)
"""Where files come and go that nobody installs."""


def ensure_wheels() -> Path:
    """What the agent needs from the package index, fetched once with this machine's own settings for pip."""
    lock = ROOT / "agent" / "requirements.lock"
    mark = WHEELS / f"complete-{sys.version_info.minor}"
    if not mark.exists() or mark.read_text() != lock.read_text():
        WHEELS.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--require-hashes"]
        subprocess.run([*command, "--requirement", str(lock), "--dest", str(WHEELS)], check=True)
        mark.write_text(lock.read_text())
    return WHEELS


class BareMachine:
    """Use as a context. It shares this machine's network, so that the site and its ports are where they are."""

    def __init__(self, engine: docker.DockerClient, image: str) -> None:
        self._engine = engine
        self._image = image
        self._container: Container | None = None

    def __enter__(self) -> Self:
        docker_program = subprocess.run(["sh", "-c", "command -v docker"], capture_output=True, text=True, check=True)
        mounts = {
            "/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"},
            docker_program.stdout.strip(): {"bind": "/usr/bin/docker", "mode": "ro"},
            str(_SYSTEMCTL): {"bind": "/usr/bin/systemctl", "mode": "ro"},
            str(ensure_wheels()): {"bind": "/wheels", "mode": "ro"},
            # The engine's own directory is another machine's; this only has the file system that such a one is on.
            str(WHEELS.parent): {"bind": "/var/lib/docker", "mode": "ro"},
            "/etc/resolv.conf": {"bind": "/etc/resolv.conf", "mode": "ro"},
        }
        self._container = self._engine.containers.create(
            self._image,
            ["sleep", "infinity"],
            name=f"spotyard-bare-{uuid.uuid4().hex[:8]}",
            network_mode="host",
            volumes=mounts,
            init=True,
            environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "LC_ALL": "C.UTF-8"},
        )
        self._container.start()
        self.run("mkdir -p /run/systemd/system")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._container is not None
        self._container.remove(force=True, v=True)

    def run(self, script: str, *, code: int | None = 0) -> str:
        """What a shell's script says, both streams; ``code`` is what it has to end with, None for whatever."""
        assert self._container is not None
        done = self._container.exec_run(["bash", "-c", script])
        output = bytes(done.output).decode()  # type: ignore[arg-type]  # whole, as it is not streamed
        assert code in (None, done.exit_code), f"{script} ended with {done.exit_code}:\n{output}"
        return output

    def files(self) -> set[str]:
        """Every file and directory that an installation could leave behind."""
        prune = " -o ".join(f"-path {path}" for path in _PASSING)
        found = self.run(f"find / \\( {prune} \\) -prune -o -not -name __pycache__ -not -name '*.pyc' -print")
        return set(found.splitlines())
