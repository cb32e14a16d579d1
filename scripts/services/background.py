"""A PostgreSQL and a Valkey in the background, for working on the code and for tests.

eval "$(scripts/devservices)"     start them (or find them running) and set DATABASE_URL and REDIS_URL
scripts/devservices stop          stop them
"""

import argparse
import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.services import postgres, valkey
from scripts.services.launching import ServiceError

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class BackgroundServices:
    """Both servers of one folder, built for speed rather than for surviving a crash of the machine."""

    directory: Path

    @property
    def postgres(self) -> postgres.PostgresServer:
        """The PostgreSQL server."""
        return postgres.PostgresServer(self.directory / "postgres", durable=False)

    @property
    def valkey(self) -> valkey.ValkeyServer:
        """The Valkey server."""
        return valkey.ValkeyServer(self.directory / "valkey")

    def start(self) -> dict[str, str]:
        """Start what does not run; the environment variables that point the code at both."""
        with self._lock():
            postgres.start_detached(self.postgres, self.directory / "postgres.log")
            valkey.start_detached(self.valkey, self.directory / "valkey.log")
        return {"DATABASE_URL": self.postgres.url(), "REDIS_URL": self.valkey.url()}

    def stop(self) -> None:
        """Stop both; not running is no error."""
        with self._lock():
            self.postgres.stop()
            self.valkey.stop()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One starter at a time: two test runs begun at once must not both initialise the same folder."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def main() -> int:
    """The command line of ``scripts/devservices``."""
    parser = argparse.ArgumentParser(description="PostgreSQL and Valkey in the background under var/dev.")
    parser.add_argument("action", nargs="?", choices=["start", "stop"], default="start")
    arguments = parser.parse_args()
    services = BackgroundServices(ROOT / "var" / "dev")
    try:
        if arguments.action == "stop":
            services.stop()
        else:
            for name, value in services.start().items():
                print(f"export {name}={value}")
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
