"""How much a container has in its volumes, which the engine does not count with the container's own layer.

An image may declare any directory a volume; the engine then keeps it elsewhere on the same disk.
"""

import logging
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import docker.errors
from docker.api.client import APIClient

from agent.engine.types import TaskError
from agent.logs import say

_log = logging.getLogger(__name__)

_LONGEST_LOOK_SECONDS = 60.0
_KB_PER_MB = 1024


def used_mb(mounts: Iterable[Mapping[str, object]]) -> int:
    """Space taken by the volumes among the mounts of an inspected container, in whole megabytes.

    Best effort: what can't be read from here (the engine is on another machine, say) counts nothing. Raises
    ``TaskError`` where looking takes too long: that says nothing, least of all that they are empty.
    """
    sources = [str(mount.get("Source") or "") for mount in mounts if mount.get("Type") == "volume"]
    readable = [source for source in sources if source and Path(source).is_dir()]
    return _taken_kb(readable, "-x") // _KB_PER_MB if readable else 0


def used_mb_of(client: APIClient, name: str) -> int | None:
    """See ``Engine.volume_used_mb``."""
    try:
        inspected = client.inspect_volume(name)
    except docker.errors.NotFound:
        return None
    source = str(inspected.get("Mountpoint") or "")
    return _taken_kb([source], "-x") // _KB_PER_MB if source and Path(source).is_dir() else None


def require_clients(client: APIClient, names: Iterable[str]) -> None:
    """Raises ``TaskError`` where a volume that a client rents is not there: the engine would make an empty one."""
    for name in names:
        try:
            client.inspect_volume(name)
        except docker.errors.NotFound as error:
            message = "A volume of the instance was deleted on the host by something other than the marketplace."
            raise TaskError("volume_missing", message) from error


def root_mb(inspected: Mapping[str, Any]) -> int | None:
    """Size of all that an inspected container sees as its file system, without volumes, in whole megabytes.

    None where it can't be read from here: it does not run, or the engine keeps it in another way.
    """
    root = ((inspected.get("GraphDriver") or {}).get("Data") or {}).get("MergedDir")
    if not root or not Path(root).is_dir():
        return None
    # By lengths, as the engine sizes images, with which this is compared; across devices, as files of an overlay may
    # seem to be on others than its directories.
    return _taken_kb([root], "--apparent-size") // _KB_PER_MB or None


def _taken_kb(directories: list[str], *options: str) -> int:
    """By ``du``, which is fast and follows no link that a guest may plant; blocks taken, not lengths, unless told."""
    program = shutil.which("du")
    if program is None:
        return 0
    command = [program, "-sk", *options, "--", *directories]
    try:
        # Its exit status does not matter: files that vanish meanwhile are no failure.
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_LONGEST_LOOK_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise TaskError("engine_error", f"Sizing {len(directories)} directories takes too long.") from error
    except OSError as error:
        say(_log, "volumes_not_sized", level=logging.WARNING, why=error)
        return 0
    sizes = [line.split("\t", 1)[0] for line in done.stdout.splitlines()]
    return sum(int(size) for size in sizes if size.isdigit())
