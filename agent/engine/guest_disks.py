"""Which container has which disk of its own (agent/engine/own_disks.py), and when it is made, mounted and deleted."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient

from agent.engine.alive import engine_started_at
from agent.engine.disks import own_mounts
from agent.engine.guest_volumes import GuestVolumes, all_volumes, own_volumes
from agent.engine.labels import DISK_LABEL
from agent.engine.own_disks import OwnDisks, is_mounted, layer_of, obstacle, show_one_device
from agent.engine.own_files import OwnFiles
from agent.engine.types import (
    NEVER,
    ContainerPlan,
)
from agent.engine.volumes import used_mb
from agent.logs import say

_log = logging.getLogger(__name__)

_RESERVED = "reserved"
_MB_PER_GB = 1024


def disk_label(plan: ContainerPlan) -> dict[str, str]:
    """Notes on the container what disk it is to have, for an agent that finds it without."""
    return {DISK_LABEL: f"{plan.disk_gb} {_RESERVED if plan.reserves_disk else 'sparse'}"}


class GuestDisks:
    """Does nothing until ``look`` has found that it can."""

    def __init__(self) -> None:
        self._own: OwnDisks | None = None
        self._files: OwnFiles | None = None
        self._volumes: GuestVolumes | None = None
        self._volumes_of: dict[str, list[str]] = {}
        self._looked = False
        self._parts: dict[str, _Parts] = {}

    def look(self, client: APIClient, facts: Mapping[str, Any]) -> None:
        """Learn from what the engine tells of itself; once, delete what an earlier agent left."""
        if self._looked:
            return
        self._looked = True
        why = obstacle(str(facts.get("Driver")), str(facts["DockerRootDir"]))
        if why:
            say(_log, "disks_not_limited_at_once", level=logging.WARNING, why=why)
            return
        self._own = OwnDisks(Path(str(facts["DockerRootDir"])))
        self._files = OwnFiles(Path(str(facts["DockerRootDir"])))
        self._volumes = GuestVolumes(Path(str(facts["DockerRootDir"])))
        self._volumes.sweep(lambda name: _has_volume(client, name))
        show_one_device()
        for container_id in self._own.sweep(lambda container_id: _exists(client, container_id)):
            self._uncover_files(container_id)

    def provide(self, client: APIClient, container_id: str) -> None:
        """For a container that has not started. Where it fails, what it writes is measured now and then, as without.

        Raises ``TaskError`` (disk_full).
        """
        if self._own is None:
            return
        inspected = cast("dict[str, Any]", client.inspect_container(container_id))
        layer, wish = layer_of(inspected), _wish(inspected)
        if layer is None or wish is None or (inspected["State"].get("StartedAt") or NEVER) != NEVER:
            return
        self._parts[container_id] = _Parts(layer, all_volumes(inspected))
        try:
            self._own.provide(container_id, layer, wish[0], reserved=wish[1])
        except OSError as error:
            say(_log, "disk_not_limited_at_once", level=logging.WARNING, container=container_id[:12], why=error)
        if self._volumes is not None:
            self._volumes.provide(inspected, wish[0])

    def start(self, client: APIClient, container_id: str) -> None:
        """Before each start."""
        if self._own is None:
            return
        if self._own.has(container_id):
            self.cover(client, container_id)
        else:
            self.provide(client, container_id)
        self._cover_files(container_id)

    def cover(self, client: APIClient, container_id: str) -> None:
        """Before anything that touches what the container has written."""
        if self._own is None or not self._own.has(container_id):
            return
        parts = self._parts_of(client, container_id)
        layer = parts.layer
        self.cover_volumes(parts.volumes)
        if layer is None:
            return
        if not is_mounted(layer):
            # An engine that ends takes its own mount from above all layers, while it answers still, and puts it there
            # again when it starts: what is mounted in between would be hidden.
            engine_started_at()
        try:
            self._own.cover(container_id, layer)
        except OSError as error:
            say(_log, "disk_not_mounted", level=logging.WARNING, container=container_id[:12], why=error)

    def written_mb(self, client: APIClient, container_id: str) -> int | None:
        """What is on its disk, at once; None where it has none of its own."""
        if self._own is None or not self._own.has(container_id):
            return None
        inspected = cast("dict[str, Any]", client.inspect_container(container_id))
        layer, wish = layer_of(inspected), _wish(inspected)
        if layer is None or wish is None:
            return None
        # What the file system has beyond what was rented makes up for what it needs itself.
        return min(self._own.used_mb(layer), wish[0] * _MB_PER_GB)

    def has(self, container_id: str) -> bool:
        """Whether there is a disk of this container's own."""
        return self._own is not None and self._own.has(container_id)

    def make_volume(self, name: str, size_gb: int, *, reserved: bool) -> None:
        """Before the engine makes one that a client rents. Raises ``TaskError`` (disk_full)."""
        if self._volumes is not None:
            self._volumes.make(name, size_gb, reserved=reserved)

    def cover_volumes(self, names: Iterable[str]) -> None:
        """Before anything touches these volumes."""
        if self._volumes is not None:
            self._volumes.cover(names)

    def volume_used_mb(self, name: str) -> int | None:
        """At once; None where it has no file system of its own."""
        return self._volumes.used_mb(name) if self._volumes is not None else None

    def own_volumes_used_mb(self, inspected: dict[str, Any]) -> int:
        """What is in those that the container has to itself."""
        mounts = {str(mount.get("Name")): mount for mount in own_mounts(inspected)}
        sized = {name: self.volume_used_mb(name) for name in mounts}
        at_once = [used for used in sized.values() if used is not None]
        return sum(at_once) + used_mb(mount for name, mount in mounts.items() if sized[name] is None)

    @contextmanager
    def dropping_volumes(self, client: APIClient, names: list[str]) -> Iterator[None]:
        """The engine removes them inside the block, or refuses to."""
        if self._volumes is not None:
            self._volumes.removing(names)
        try:
            yield
        finally:
            self._removed_volumes(client, names)

    def forget_volumes(self, names: Iterable[str]) -> None:
        """The engine is about to make them anew, to be filled before a container has them."""
        if self._volumes is not None:
            self._volumes.forget(names)

    def _removed_volumes(self, client: APIClient, names: list[str]) -> None:
        if self._volumes is not None:
            self._volumes.removed(names, lambda name: _has_volume(client, name))

    def removing(self, client: APIClient, container_id: str, *, keep_volumes: bool) -> None:
        """Before the engine removes the container."""
        if not keep_volumes and self._volumes is not None:
            self._volumes_of[container_id] = own_volumes(client.inspect_container(container_id))
            self._volumes.removing(self._volumes_of[container_id])
        self._uncover_files(container_id)
        if self._own is not None and self._own.has(container_id):
            layer = self._parts_of(client, container_id).layer
            if layer is not None:
                self._own.release(container_id, layer)

    def removed(self, client: APIClient, container_id: str) -> None:
        """When the engine has."""
        self._removed_volumes(client, self._volumes_of.pop(container_id, []))
        self._parts.pop(container_id, None)
        if self._own is not None:
            self._own.delete(container_id)

    def _cover_files(self, container_id: str) -> None:
        try:
            if self._files is not None:
                self._files.cover(container_id)
        except OSError as error:
            say(_log, "files_not_limited", level=logging.WARNING, container=container_id[:12], why=error)

    def _uncover_files(self, container_id: str) -> None:
        try:
            if self._files is not None:
                self._files.release(container_id)
        except OSError as error:
            say(_log, "files_still_used", level=logging.DEBUG, container=container_id[:12], why=error)

    def _parts_of(self, client: APIClient, container_id: str) -> "_Parts":
        """Asked once: they never change."""
        if container_id not in self._parts:
            inspected = cast("dict[str, Any]", client.inspect_container(container_id))
            self._parts[container_id] = _Parts(layer_of(inspected), all_volumes(inspected))
        return self._parts[container_id]


@dataclass(frozen=True)
class _Parts:
    """Where a container's data are: its layer, None where it has none of overlay2's, and its volumes by name."""

    layer: Path | None
    volumes: list[str]


def _wish(inspected: Mapping[str, Any]) -> tuple[int, bool] | None:
    """Gigabytes, and whether reserved."""
    size, _, kind = str((inspected["Config"].get("Labels") or {}).get(DISK_LABEL, "")).partition(" ")
    return (int(size), kind == _RESERVED) if size.isdigit() else None


def _has_volume(client: APIClient, name: str) -> bool:
    try:
        client.inspect_volume(name)
    except docker.errors.NotFound:
        return False
    return True


def _exists(client: APIClient, container_id: str) -> bool:
    try:
        client.inspect_container(container_id)
    except docker.errors.NotFound:
        return False
    return True
