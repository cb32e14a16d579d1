"""How much disk and network each running task uses; ends those that outgrow their disk."""

import logging
import threading
import time
from pathlib import Path

from agent.engine.types import ContainerFacts, ContainerGoneError, Engine, EngineDownError, TaskError
from agent.logs import say
from agent.protocol import DesiredTask
from agent.tasks.decide import last_run
from agent.tasks.memory import TrafficStore, Verdict
from agent.tasks.reconciler import Reconciler, wanted
from agent.tasks.slot import Slot
from agent.volume_usage import VolumeSampler
from agent.volumes import VolumeKeeper

_log = logging.getLogger(__name__)

_ROUND_SECONDS = 15.0
FULL_SHARE = 0.97
_DISK_EFFORT = 20.0
"""The engine walks the whole layer to size it, so the next look waits this many times as long as the last one took."""
_LONGEST_DISK_PAUSE_SECONDS = 60.0
"""A guest with very many files must not win time to fill the disk unseen."""


class UsageSampler:
    """Looks at all tasks of all agents in the process, in turn, from one thread."""

    def __init__(self, engine: Engine, *, round_seconds: float = _ROUND_SECONDS) -> None:
        self._engine = engine
        self._round_seconds = round_seconds
        self._watched: list[tuple[Reconciler, TrafficStore, VolumeKeeper | None]] = []
        self._volumes = VolumeSampler(engine)
        self._next_disk_look: dict[str, float] = {}
        self._stopping = threading.Event()

    def watch(self, reconciler: Reconciler, traffic: TrafficStore, volumes: VolumeKeeper | None = None) -> None:
        self._watched.append((reconciler, traffic, volumes))

    def unwatch(self, reconciler: Reconciler) -> None:
        self._watched = [entry for entry in self._watched if entry[0] is not reconciler]

    def start(self) -> None:
        threading.Thread(target=self._run, name="usage", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._round_seconds):
            try:
                self.sample()
            except EngineDownError:
                continue
            except Exception:
                _log.exception("usage_failed")

    def sample(self) -> None:
        """One round over everything that runs."""
        seen: set[str] = set()
        for reconciler, traffic, volumes in list(self._watched):
            for slot in reconciler.slots():
                container, desired = slot.facts, slot.desired
                if container is None or container.status != "running" or desired is None:
                    continue
                seen.add(container.container_id)
                self._count_traffic(slot, container, traffic)
                self._measure_disk(slot, container, desired, reconciler)
            if volumes is not None:
                self._volumes.sample(reconciler, volumes)
        self._next_disk_look = {key: due for key, due in self._next_disk_look.items() if key in seen}

    def _count_traffic(self, slot: Slot, container: ContainerFacts, store: TrafficStore) -> None:
        counters = interface_bytes(container.pid)
        if counters is None:
            return
        traffic = slot.traffic or store.load(slot.task_id)
        traffic.count(container.started_at, *counters)
        slot.traffic = traffic
        store.save(slot.task_id, traffic)

    def _measure_disk(
        self, slot: Slot, container: ContainerFacts, desired: DesiredTask, reconciler: Reconciler
    ) -> None:
        began = time.monotonic()
        if began < self._next_disk_look.get(container.container_id, 0.0):
            return
        limit_mb = desired.spec.disk_gb * 1024
        try:
            used_mb = self._used_mb(slot, container, limit_mb)
        except (ContainerGoneError, TaskError):
            return
        ended = time.monotonic()
        self._next_disk_look[container.container_id] = ended + disk_pause_seconds(ended - began)
        slot.disk_used_mb = used_mb
        if is_full(used_mb, limit_mb) != slot.disk_full:
            slot.disk_full = not slot.disk_full
            reconciler.tell()
        if used_mb > limit_mb:
            self._end(slot, container, desired, reconciler)

    def _used_mb(self, slot: Slot, container: ContainerFacts, limit_mb: int) -> int:
        """What this container has written, and those before it that it has moved from.

        That counts twice what was overwritten since, and what was deleted. So nobody is ended for it, the sum has to be
        confirmed by a look at what there is now, which takes much longer.
        """
        used_mb = self._engine.disk_used_mb(container.container_id)
        disk = slot.memory.disk if slot.memory is not None else None
        if disk is None:
            return used_mb
        used_mb += disk.used_mb
        if used_mb <= limit_mb:
            return used_mb
        content_mb = self._engine.content_mb(container.container_id, disk.base_mb)
        return used_mb if content_mb is None else min(used_mb, content_mb)

    def _end(self, slot: Slot, container: ContainerFacts, desired: DesiredTask, reconciler: Reconciler) -> None:
        say(_log, "disk_limit", task=slot.task_id, used_mb=slot.disk_used_mb, limit_gb=desired.spec.disk_gb)
        message = (
            f"The instance wrote more than the {desired.spec.disk_gb} GB of disk it has rented and was stopped. "
            "After the next start, delete files within seconds, or rent an instance with more disk."
        )
        run = last_run(wanted(desired), container, slot.memory)
        verdict = Verdict(run_generation=run, reason="disk_limit", message=message)
        reconciler.condemn(slot.task_id, container.started_at, verdict)


def is_full(used_mb: int, limit_mb: int) -> bool:
    """Whether so little is left that the guest should know at once."""
    return used_mb >= FULL_SHARE * limit_mb


def disk_pause_seconds(took_seconds: float) -> float:
    """How long to leave a container's disk alone after a look at it that took so long."""
    return min(_DISK_EFFORT * took_seconds, _LONGEST_DISK_PAUSE_SECONDS)


def interface_bytes(pid: int, proc: Path = Path("/proc")) -> tuple[int, int] | None:
    """Bytes received and sent by all but the loopback interface of a process's network; None where unreadable."""
    try:
        lines = (proc / str(pid) / "net/dev").read_text().splitlines()[2:]
    except OSError:
        return None
    if pid <= 0:
        return None
    received = sent = 0
    for line in lines:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) >= 9:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent
