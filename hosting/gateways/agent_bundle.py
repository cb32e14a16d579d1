"""The agent as hosts' machines get it: one archive, made of a checkout, the same bytes for the same files.

Its version is the release with a part of the digest of what is in it, so an agent that was changed in any way has
another version, and nobody has to remember to count.
"""

import functools
import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

TOP = "spotyard-agent"
_TREES = ("agent", "dlperf/workload")
_FILES = ("dlperf/__init__.py", "LICENSE")
_VERSION_FILE = "agent/build.txt"
_RELEASE = re.compile(r'^RELEASE = "([0-9A-Za-z.]{1,20})"$', re.MULTILINE)


@dataclass(frozen=True)
class AgentBundle:
    """``digest`` is the SHA-256 of ``content`` in hex."""

    version: str
    digest: str
    content: bytes

    @property
    def size_bytes(self) -> int:
        """Length of the archive."""
        return len(self.content)


@functools.lru_cache(maxsize=1)
def current_bundle() -> AgentBundle:
    """That of the checkout that AGENT_SOURCE names, as it was when this process first asked."""
    return make_bundle(Path(settings.AGENT_SOURCE))


def make_bundle(source: Path) -> AgentBundle:
    """Raises FileNotFoundError where ``source`` is no checkout."""
    files = dict(_files(source))
    release = _RELEASE.search((source / "agent/__init__.py").read_text())
    version = f"{release[1] if release else '0'}+{_digest_of(files)[:8]}"
    content = _archive({**files, _VERSION_FILE: (f"{version}\n".encode(), False)})
    return AgentBundle(version, hashlib.sha256(content).hexdigest(), content)


def _files(source: Path) -> Iterator[tuple[str, tuple[bytes, bool]]]:
    """Name, content and whether it is a program, of each file."""
    trees = (path for tree in _TREES for path in (source / tree).rglob("*"))
    for path in (*trees, *(source / name for name in _FILES)):
        name = path.relative_to(source).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and name != _VERSION_FILE:
            yield name, (path.read_bytes(), bool(path.stat().st_mode & 0o100))


def _digest_of(files: Mapping[str, tuple[bytes, bool]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        content, is_program = files[name]
        digest.update(f"{name} {is_program} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _archive(files: Mapping[str, tuple[bytes, bool]]) -> bytes:
    """Nothing of when, where and by whom it was made is in it."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(mode="w", fileobj=compressed, format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(files):
            content, is_program = files[name]
            entry = tarfile.TarInfo(f"{TOP}/{name}")
            entry.size, entry.mode = len(content), 0o755 if is_program else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
