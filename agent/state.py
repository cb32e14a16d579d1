"""What an agent keeps between its lives: who it is to the marketplace. One private directory a machine."""

import fcntl
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from agent.tasks.memory import write_durably


class StateError(Exception):
    """The state directory can't be used; says why."""


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """``boot_id`` is chosen once; the rest comes with the registration."""

    boot_id: str
    server: str | None = None
    machine_id: int | None = None
    credential: str | None = None
    sync_url: str | None = None
    disk_gb: int | None = None
    """Space offered at registration, kept so that guests' data don't seem to shrink the disk."""

    def changed(self, **fields: object) -> "AgentState":
        """A copy with these fields replaced."""
        return msgspec.structs.replace(self, **fields)


@dataclass
class StateDir:
    """``path`` is made if missing. Only one process may hold it; the lock ends with the process."""

    path: Path
    _held: IO[bytes] | None = None

    def hold(self) -> None:
        """Raises ``StateError`` where another agent runs on this directory, or it can't be written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held = (self.path / "lock").open("wb")
        except OSError as error:
            raise StateError(f"The state directory {self.path} can't be used: {error.strerror}.") from error
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateError(f"Another agent is running on the state directory {self.path}.") from error

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def load(self) -> AgentState:
        """The state kept, or that of a machine that has just been given its identity."""
        try:
            return msgspec.json.decode((self.path / "state.json").read_bytes(), type=AgentState)
        except FileNotFoundError:
            state = AgentState(boot_id=uuid.uuid4().hex)
            self.save(state)
            return state
        except msgspec.DecodeError as error:
            raise StateError(f"{self.path / 'state.json'} is damaged: {error}.") from error

    def save(self, state: AgentState) -> None:
        """On the disk when this returns, readable by the owner only."""
        write_durably(self.path / "state.json", msgspec.json.encode(state))

    def publish_owner(self, owner: str) -> None:
        """Write down the label value of this agent's containers, for whoever tidies up from outside."""
        (self.path / "owner").write_text(f"{owner}\n")

    def jobs(self, machine_id: int) -> Path:
        """Directory of what is remembered of this machine's jobs."""
        return self.path / "jobs" / str(machine_id)

    def logs(self, machine_id: int) -> Path:
        """Directory of logs whose containers are gone, until the server has them."""
        return self.path / "logs" / str(machine_id)

    def tasks(self, machine_id: int) -> Path:
        """Directory of the memories of this machine's tasks: another registration's have other meanings."""
        return self.path / "tasks" / str(machine_id)
