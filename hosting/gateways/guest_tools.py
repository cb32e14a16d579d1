"""The bundles of guest tools that this installation has for its machines: files, one for each architecture.

``python -m scripts.guest_tools`` makes the one for the architecture that it runs on; ones for others may be put beside.
"""

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

_NAME = re.compile(r"guest-tools-([a-z0-9_]{1,20})\.tar\.gz")
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """One file; ``arch`` as ``uname -m`` says it, ``digest`` its SHA-256 in hex."""

    arch: str
    digest: str
    size_bytes: int
    path: Path


def bundle_for(arch: str) -> Bundle | None:
    """What machines of this architecture run; None where there is nothing for them."""
    wanted = _ALIASES.get(arch.lower(), arch.lower())
    path = Path(settings.GUEST_TOOLS_DIR) / f"guest-tools-{wanted}.tar.gz"
    return _bundle(path) if _NAME.fullmatch(path.name) else None


def bundle_of(digest: str) -> Bundle | None:
    """The bundle with this digest, if it is one of those that machines are told of."""
    bundles = (_bundle(path) for path in Path(settings.GUEST_TOOLS_DIR).glob("guest-tools-*.tar.gz"))
    return next((bundle for bundle in bundles if bundle is not None and bundle.digest == digest), None)


def _bundle(path: Path) -> Bundle | None:
    name = _NAME.fullmatch(path.name)
    try:
        stat = path.stat()
        digest = _digest(path, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return None
    return Bundle(name[1], digest, stat.st_size, path) if name else None


@functools.lru_cache(maxsize=16)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    """Hashed once for each state of the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
