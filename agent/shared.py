"""What all agents of a process have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.engine.hub import EngineHub
from agent.guest.rounds import Rounds
from agent.pool import Pool
from agent.tasks.tools import Checkpoint, no_checkpoint
from agent.telemetry.telling import TelemetryRounds
from agent.usage import UsageSampler
from agent.walls import gap


@dataclass(frozen=True)
class Shared:
    """One for a process."""

    hub: EngineHub
    pool: Pool
    usage: UsageSampler
    rounds: tuple[Rounds, ...]
    """Those who learn what containers tell of themselves."""
    telemetry: TelemetryRounds
    checkpoint: Checkpoint = no_checkpoint
    unguarded: Callable[[], str] = str
    """Why guests are not kept from the host's network; empty where they are."""

    def problem(self, *, simulated: bool) -> str | None:
        """Why nothing is to be rented here: the engine does not answer, or guests are not walled off."""
        return self.hub.error or gap(self.hub.info, self.unguarded, simulated=simulated)


def data_directory(hub: EngineHub, state_dir: Path) -> Path:
    """Where guests' data lie, as far as that can be seen from here."""
    root = hub.data_root()
    return Path(root) if root and Path(root).exists() else state_dir
