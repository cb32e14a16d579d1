"""A Docker engine of a test's own, which it may configure, end and kill without disturbing whoever uses the machine's.

It lives in a network namespace of its own: two engines in one would clear away each other's firewall rules. There is
no way out of it.
"""

import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import psutil

from scripts.services.launching import tail, wait_until
from tests.plumbing.claims import claim
from tests.plumbing.namespaces import entered

_START_SECONDS = 60
_ACTIVATED = 'eval "exec 3<&$0"; export LISTEN_PID=$$ LISTEN_FDS=1; exec dockerd "$@"'
"""As systemd starts a service with its socket, whose number is $0."""


class OwnEngine:
    """Use as a context; ``config`` is its daemon.json. Needs root. What it kept is gone at the end.

    With ``socket_is_kept`` its socket stays open when it ends, as under systemd's docker.socket.
    """

    def __init__(self, config: dict[str, Any] | None = None, *, socket_is_kept: bool = False) -> None:
        number = next(number for number in range(100) if claim(f"own-engine-{number}"))
        self._namespace = f"spotyard-test-engine-{number}"
        self._place = Path(tempfile.mkdtemp(prefix="engine-"))  # short: paths of sockets have 107 characters
        self._config = config or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = socket.socket(socket.AF_UNIX) if socket_is_kept else None
        self.address = f"unix://{self._place}/docker.sock"
        """For DOCKER_HOST."""

    def __enter__(self) -> Self:
        self._place.chmod(0o711)
        self._config_file.write_text(json.dumps(self._config))
        if self._socket is not None:
            self._socket.bind(self.address.removeprefix("unix://"))
            self._socket.listen(64)
        subprocess.run(["ip", "netns", "delete", self._namespace], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "add", self._namespace], check=True)
        with self.network():
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        try:
            self.start()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            self.start()
        client = self.client()
        for container in client.containers.list(all=True):
            container.remove(force=True, v=True)
        client.close()
        self.stop()
        self._clear()

    def start(self) -> None:
        """Returns when it answers."""
        names = {"data-root": "data", "exec-root": "run", "pidfile": "pid"}
        options = [word for name, place in names.items() for word in (f"--{name}", str(self._place / place))]
        options += ["--config-file", str(self._config_file), "--host", "fd://" if self._socket else self.address]
        given = self._socket.fileno() if self._socket else 0
        with (self._place / "log").open("ab") as log, self.network():
            self._process = process = subprocess.Popen(
                ["bash", "-c", _ACTIVATED if given else 'exec dockerd "$@"', str(given), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[given] if given else [],
            )
        wait_until(
            lambda: process.poll() is not None or self._answers(),
            timeout_seconds=_START_SECONDS,
            failure=lambda: f"the engine does not answer:\n{tail(self._place / 'log')}",
        )
        assert process.poll() is None, tail(self._place / "log")

    def stop(self) -> None:
        """End it in order: it stops its containers, unless it is configured to leave them alone."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=_START_SECONDS)
        self._process = None

    def kill(self) -> None:
        """End it as by kill -9; its containers go on, and it finds them when it starts again."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()  # containerd, which the next one would wait for
        self._process.kill()
        self._process.wait(timeout=_START_SECONDS)
        _, left = psutil.wait_procs(children, timeout=_START_SECONDS)
        assert not left, left
        self._process = None

    def client(self) -> docker.DockerClient:
        """Yours to close."""
        return docker.DockerClient(base_url=self.address)

    @contextmanager
    def network(self) -> Iterator[None]:
        """This thread is in the engine's network meanwhile; so is for good what it starts and listens on."""
        with entered(self._namespace):
            yield

    @property
    def _config_file(self) -> Path:
        return self._place / "daemon.json"

    def _answers(self) -> bool:
        try:
            client = self.client()
        except docker.errors.DockerException:
            return False
        client.close()
        return True

    def _clear(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._socket is not None:
            self._socket.close()
        subprocess.run(["ip", "netns", "delete", self._namespace], check=False, capture_output=True)
        for mounted in sorted(_mounts_below(self._place), reverse=True):
            subprocess.run(["umount", mounted], check=False, capture_output=True)
        shutil.rmtree(self._place)


def _mounts_below(place: Path) -> list[str]:
    """An engine that leaves containers alone leaves its mounts, too."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
        mounted = [line.split(" ", 5)[4] for line in lines]
    return [path for path in mounted if path.startswith(f"{place}/")]
