"""A file system of its own for what each container writes, of the size that was rented.

The engine's usual driver, overlay2, limits nobody on an ordinary disk: quotas need one that was formatted for them. So
the directory in which it keeps a container's layer is covered by a mount: an ext4 file system in a file on the engine's
own disk. Full is full then, at once and for this guest alone, and deleting the file deletes the layer.

Mounts are made where the host's first process sees them, as the engine does. Never may one file be two file systems at
once, whose changes would overwrite each other. So a lock on a file beside keeps apart two agents, one of which is about
to end, and a file that is still a device is mounted as the same device again: a mount namespace that somebody made
meanwhile, as each start of a container does, can keep a file system alive that was unmounted here. Such a device may be
about to go; then mounting it fails, and is tried again.
"""

import logging
import os
import re
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.engine.types import TaskError
from agent.logs import say

_log = logging.getLogger(__name__)

PROGRAMS = ("mkfs.ext4", "mount", "umount", "losetup", "fallocate", "flock", "nsenter", "mountpoint")
_GIB = 1 << 30
_MB = 1 << 20
_OVERHEAD = 1.02
_OVERHEAD_BYTES = 64 * _MB
"""What the file system takes for itself, so that the client has what it rented."""
_TIMEOUT_SECONDS = 120
_MOUNTS = Path("/proc/self/mountinfo")
_FILE = re.compile(r"\.(img(\.\w+)?|files)$")
_ONE_DEVICE = "/sys/module/overlay/parameters/xino_auto"
_FIRST_NAMESPACE = Path("/proc/1/ns/mnt")

_BEGIN = """
set -eu
umask 077
file=$1 layer=$2 staging=$1.staging
exec 9>"$file.lock"
flock 9
umount "$staging" 2>/dev/null || true
cover() {
    # Of another device than what is above it; mountpoint takes a hidden one for one.
    [ "$(stat -c %d "$layer")" != "$(stat -c %d "$layer/..")" ] || attach "$file" "$layer"
}
attach() {
    tries=0
    while :; do
        device=$(losetup --find --nooverlap --show --direct-io=on "$1" 2>/dev/null) ||
            device=$(losetup --find --nooverlap --show "$1")
        why=$(mount -o noatime,noinit_itable "$device" "$2" 2>&1) && break
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || { echo "$why" >&2; losetup -d "$device"; exit 1; }
        sleep 0.1
    done
    losetup -d "$device" 2>/dev/null || true
}
"""
_PROVIDE = (
    _BEGIN
    + """
bytes=$3
[ ! -e "$file" ] || { cover; exit 0; }
rm -f "$file.new"
mkdir -p "$staging"
if [ "$4" = reserved ]; then fallocate -l "$bytes" "$file.new"; else truncate -s "$bytes" "$file.new"; fi
mkfs.ext4 -q -F -m 0 -O ^resize_inode -J size=16 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$file.new"
attach "$file.new" "$staging"
rmdir "$staging/lost+found"
cp -a "$layer/." "$staging/"
mv "$file.new" "$file"
shift 4
for part; do rm -rf "$layer/$part"; done
mount --bind "$staging" "$layer"
umount "$staging"
rmdir "$staging"
"""
)
"""What lay below the mount goes: without the mount the container does not start, instead of without its data."""
_COVER = _BEGIN + "cover\n"
_RELEASE = """
set -u
file=$1 layer=$2
! mountpoint -q "$layer" || umount "$layer"
"""


def obstacle(driver: str, data_root: str) -> str:
    """Why containers can't have file systems of their own here; empty where they can."""
    if driver != "overlay2":
        return f"the engine's storage driver is {driver}"
    if os.geteuid() != 0:
        return "the agent does not run as root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not Path("/dev/loop-control").exists():
        return "the kernel has no loop devices"
    if _way_out() is None:
        return "the agent runs in a mount namespace of its own and can't leave it"
    return "" if Path(data_root).is_dir() else "the engine's disk is not on this machine"


def show_one_device() -> None:
    """Have overlays that are mounted from now on show all files as on one device, though what is below them lies on
    two: ``find -xdev`` and the like count on that. Where the kernel does not let us, they see several.
    """
    outside(["sh", "-c", f"echo Y >{_ONE_DEVICE}"])


def layer_of(inspected: Mapping[str, Any]) -> Path | None:
    """Where the engine keeps what an inspected container writes; None where that is no directory of overlay2's."""
    data = (inspected.get("GraphDriver") or {}).get("Data") or {}
    upper = str(data.get("UpperDir") or "")
    return Path(upper).parent if upper.startswith("/") else None


class OwnDisks:
    """All in ``folder`` of ``data_root``, the engine's own directory; a container is named by its id, its layer by
    ``layer_of``, and ``parts`` are what a guest writes there."""

    def __init__(
        self, data_root: Path, folder: str = "spotyard-disks", parts: tuple[str, ...] = ("diff", "work")
    ) -> None:
        self._place = data_root / folder
        self._parts = parts
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def has(self, container_id: str) -> bool:
        """Whether the container was given one, mounted now or not."""
        return self._file(container_id).exists()

    def provide(self, container_id: str, layer: Path, size_gb: int, *, reserved: bool) -> None:
        """Give one to a container that has never started; again does nothing.

        ``reserved`` takes the whole room on the host's disk at once, so that it is there when it is written to. Raises
        ``TaskError`` (disk_full) where there is not so much, OSError with what went wrong else.
        """
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = int(size_gb * _GIB * _OVERHEAD) + _OVERHEAD_BYTES
        no_room = TaskError("disk_full", f"The host's disk has no room for the {size_gb} GB that were rented.")
        with self._lock(container_id):
            if reserved and not self.has(container_id) and shutil.disk_usage(self._place).free < size:
                raise no_room
            try:
                kind = "reserved" if reserved else "sparse"
                self._run(_PROVIDE, container_id, layer, str(size), kind, *self._parts)
            except OSError as error:
                if not self.has(container_id):
                    self._delete(container_id)
                raise (no_room if "No space left" in str(error) else error) from error

    def cover(self, container_id: str, layer: Path) -> None:
        """Mount it where it is not, as after a restart of the host or the engine. Raises OSError."""
        if self.has(container_id) and not is_mounted(layer):
            with self._lock(container_id):
                self._run(_COVER, container_id, layer)
                say(_log, "disk_mounted", container=container_id[:12])

    def release(self, container_id: str, layer: Path) -> None:
        """Unmount it, if nothing uses it; the engine can remove it mounted, too, but file by file."""
        if self.has(container_id):
            with self._lock(container_id):
                try:
                    self._run(_RELEASE, container_id, layer)
                except OSError as error:
                    say(_log, "disk_still_used", level=logging.DEBUG, container=container_id[:12], why=error)

    def delete(self, container_id: str) -> None:
        """Of a container that is no more."""
        with self._lock(container_id):
            self._delete(container_id)
        with self._guard:
            self._locks.pop(container_id, None)

    def used_mb(self, layer: Path) -> int:
        """What is written there, in whole megabytes, at once."""
        facts = os.statvfs(layer)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize // _MB

    def sweep(self, exists: Callable[[str], bool]) -> list[str]:
        """Delete what belongs to containers that are no more: an agent died before it could. Returns their ids."""
        here = {_FILE.sub("", path.name) for path in self._place.glob("*.*")}
        gone = [container_id for container_id in here if not exists(container_id)]
        for container_id in gone:
            self.delete(container_id)
            say(_log, "disk_swept", container=container_id[:12])
        return gone

    def _delete(self, container_id: str) -> None:
        file = self._file(container_id)
        staging = Path(f"{file}.staging")
        if staging.exists():
            outside(["umount", str(staging)])
            staging.rmdir()
        for path in (file, Path(f"{file}.new"), Path(f"{file}.lock")):
            path.unlink(missing_ok=True)

    def _file(self, container_id: str) -> Path:
        return self._place / f"{container_id}.img"

    def _lock(self, container_id: str) -> threading.Lock:
        with self._guard:
            return self._locks[container_id]

    def _run(self, script: str, container_id: str, layer: Path, *more: str) -> None:
        arguments = [str(self._file(container_id)), str(layer), *more]
        done = outside(["sh", "-c", script, "own-disk", *arguments])
        if done.returncode != 0:
            raise OSError(done.stderr.strip() or f"status {done.returncode}")


def is_mounted(layer: Path) -> bool:
    """Whether something is to be seen mounted there: a mount may be hidden by one that came later on a directory
    above. A namespace of the agent's own may not see what is mounted outside; then asking again does no harm."""
    return layer.is_mount()


def _way_out() -> list[str] | None:
    """What to put before a command that mounts, so that the engine sees it; None where there is no way.

    A unit of systemd's has a namespace of its own as soon as anything is hidden from it.
    """
    try:
        if _FIRST_NAMESPACE.samefile("/proc/self/ns/mnt"):
            return []
        with _FIRST_NAMESPACE.open("rb"):
            return ["nsenter", f"--mount={_FIRST_NAMESPACE}", "--"]
    except OSError:
        with _MOUNTS.open(encoding="utf-8", errors="replace") as lines:
            follows = any(" master:" in line.partition(" - ")[0] for line in lines)
        return None if follows else []


def outside(command: list[str]) -> subprocess.CompletedProcess[str]:
    """A command where the host's first process sees what it mounts. Raises OSError where it takes too long."""
    try:
        return subprocess.run(
            [*(_way_out() or []), *command],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} took more than {_TIMEOUT_SECONDS} s") from error
