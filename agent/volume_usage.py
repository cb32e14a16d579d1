"""How much is in clients' volumes; ends what runs on one that holds more than was rented."""

import logging
import time

from agent.engine.types import ContainerGoneError, Engine, TaskError
from agent.logs import say
from agent.tasks.decide import last_run
from agent.tasks.memory import Verdict
from agent.tasks.reconciler import Reconciler, wanted
from agent.tasks.slot import Slot
from agent.volume_protocol import DesiredVolume
from agent.volumes import VolumeKeeper

_log = logging.getLogger(__name__)

_EFFORT = 20.0
_LONGEST_PAUSE_SECONDS = 60.0
_MB_PER_GB = 1024


class VolumeSampler:
    """Looks at volumes while something can write to them, and once before. Belongs to one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next_look: dict[str, float] = {}

    def sample(self, reconciler: Reconciler, keeper: VolumeKeeper) -> None:
        """One round over an agent's volumes. Raises ``EngineDownError``."""
        for volume in keeper.kept():
            users = [slot for slot in reconciler.slots() if _runs_on(slot, volume)]
            if not users and keeper.measured(volume.volume_id):
                continue
            used_mb = self._measured(keeper.name(volume.volume_id))
            if used_mb is None:
                continue
            keeper.note_use(volume.volume_id, used_mb)
            if used_mb > volume.size_gb * _MB_PER_GB:
                for slot in users:
                    _end(slot, volume, used_mb, reconciler)

    def _measured(self, name: str) -> int | None:
        """None where it is not time to look again, or nothing can be seen."""
        began = time.monotonic()
        if began < self._next_look.get(name, 0.0):
            return None
        try:
            used_mb = self._engine.volume_used_mb(name)
        except (ContainerGoneError, TaskError):
            return None
        ended = time.monotonic()
        self._next_look[name] = ended + min(_EFFORT * (ended - began), _LONGEST_PAUSE_SECONDS)
        return used_mb


def _runs_on(slot: Slot, volume: DesiredVolume) -> bool:
    container, desired = slot.facts, slot.desired
    if container is None or desired is None or container.status != "running":
        return False
    return any(mount.volume_id == volume.volume_id for mount in desired.spec.volumes)


def _end(slot: Slot, volume: DesiredVolume, used_mb: int, reconciler: Reconciler) -> None:
    """Nobody knows who of them wrote it."""
    container, desired = slot.facts, slot.desired
    if container is None or desired is None:
        return
    say(_log, "volume_limit", task=slot.task_id, volume=volume.volume_id, used_mb=used_mb, limit_gb=volume.size_gb)
    message = (
        f"The volume {volume.label} holds more than the {volume.size_gb} GB that are rented, so what runs on it was "
        "stopped. After the next start, delete files within seconds, or create a larger volume."
    )
    run = last_run(wanted(desired), container, slot.memory)
    reconciler.condemn(
        slot.task_id, container.started_at, Verdict(run_generation=run, reason="disk_limit", message=message)
    )
