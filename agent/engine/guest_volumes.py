"""The sizes of volumes: each is covered by a file system of its own, as what a container writes is (own_disks.py).

An image may declare any directory a volume, and the engine keeps those beside the container's layer, where its disk's
limit does not hold. Those that clients rent have the rented size, those of an image each that of the container's disk;
together they are measured.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from agent.engine.disks import own_mounts
from agent.engine.own_disks import OwnDisks
from agent.logs import say

_log = logging.getLogger(__name__)

_CONTENT = "_data"
"""The engine's name for what is in a volume."""


class GuestVolumes:
    """All at ``data_root``, the engine's own directory. What fails is logged: the volume is then measured only."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root / "volumes"
        self._disks = OwnDisks(data_root, "spotyard-volumes", (_CONTENT,))

    def make(self, name: str, size_gb: int, *, reserved: bool) -> None:
        """Before the engine makes it. Raises ``TaskError`` (disk_full) where ``reserved`` room is not there."""
        self._folder(name).mkdir(mode=0o701, parents=True, exist_ok=True)
        self._provide(name, size_gb, reserved=reserved)

    def provide(self, inspected: Mapping[str, Any], size_gb: int) -> None:
        """For those that are the container's own, which has not started."""
        for name in own_volumes(inspected):
            if self._folder(name).is_dir():
                self._provide(name, size_gb, reserved=False)

    def cover(self, names: Iterable[str]) -> None:
        """Mount what is not mounted, before anything touches them."""
        for name in names:
            try:
                self._disks.cover(name, self._folder(name))
            except OSError as error:
                say(_log, "volume_not_mounted", level=logging.WARNING, volume=name, why=error)

    def removing(self, names: Iterable[str]) -> None:
        """Before the engine removes them, which it can't while something is mounted there."""
        for name in names:
            self._disks.release(name, self._folder(name))

    def removed(self, names: Iterable[str], exists: Callable[[str], bool]) -> None:
        """When the engine has; those that it kept are mounted again."""
        for name in names:
            if exists(name):
                self.cover([name])
            elif self._disks.has(name):
                self._disks.delete(name)

    def forget(self, names: Iterable[str]) -> None:
        """They are made anew, without."""
        for name in names:
            self._disks.release(name, self._folder(name))
            self._disks.delete(name)

    def used_mb(self, name: str) -> int | None:
        """What is in it, at once; None where it has no file system of its own."""
        if not self._disks.has(name):
            return None
        self.cover([name])
        return self._disks.used_mb(self._folder(name))

    def sweep(self, exists: Callable[[str], bool]) -> None:
        """Delete what belongs to volumes that are no more."""
        self._disks.sweep(exists)

    def _provide(self, name: str, size_gb: int, *, reserved: bool) -> None:
        try:
            self._disks.provide(name, self._folder(name), size_gb, reserved=reserved)
        except OSError as error:
            say(_log, "volume_not_limited_at_once", level=logging.WARNING, volume=name, why=error)

    def _folder(self, name: str) -> Path:
        return self._root / name


def own_volumes(inspected: Mapping[str, Any]) -> list[str]:
    """Names of the volumes that an inspected container has to itself."""
    mounts = own_mounts(dict(inspected))
    return [str(mount["Name"]) for mount in mounts if mount.get("Type") == "volume" and mount.get("Driver") == "local"]


def all_volumes(inspected: Mapping[str, Any]) -> list[str]:
    """Names of all volumes that an inspected container has."""
    return [str(mount["Name"]) for mount in inspected.get("Mounts") or [] if mount.get("Type") == "volume"]
