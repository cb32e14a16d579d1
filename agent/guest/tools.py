"""The guest tools on one machine: fetched from the marketplace once, kept, and put into a volume for its containers.

What is wanted is what the server last announced, or while it has not spoken, what was kept. Every step may be cut off:
a download goes on where it ended, a file counts once its digest is right, a volume once it is published.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.backoff import Backoff
from agent.engine.types import (
    ContainerGoneError,
    Engine,
    EngineDownError,
    ImageMissingError,
    TaskError,
    VolumeMissingError,
)
from agent.logs import say
from agent.protocol import ToolsBundle
from agent.server import RefusedError, ServerAwayError
from agent.tasks.memory import write_durably

_log = logging.getLogger(__name__)

FIRST_FETCH_SECONDS = 60.0
"""How long the first containers of a machine wait for the tools; later ones never do."""
MOST_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20

Fetch = Callable[[str, int], Iterator[bytes]]
"""Content of a URL from a byte on. Raises ``ServerAwayError``, ``RefusedError``."""
Point = Callable[[str], None]


class DamagedError(Exception):
    """What was fetched is not what was announced."""


NOT_NOW = (TaskError, ContainerGoneError, ImageMissingError, VolumeMissingError, DamagedError, OSError)
"""Refused by the engine or the disk, or cleaned away under our hands: another try may succeed."""


class GuestTools:
    """``announce`` what the server says; ``volume`` for each container that is to have the tools."""

    def __init__(
        self, directory: Path, arch: str, engine: Engine, fetch: Fetch, point: Point = lambda _name: None
    ) -> None:
        self._directory = directory
        self._arch = arch
        self._engine = engine
        self._fetch = fetch
        self._point = point
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._news = threading.Event()
        self._tried = threading.Event()
        self._ended = threading.Event()
        self._wanted = self._remembered()
        self._tried.set()

    def start(self) -> None:
        """Fetch and prepare what is announced, from a daemon thread."""
        if self._wanted is not None:
            self._news.set()
        threading.Thread(target=self._run, name="guest-tools", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end when it next wakes."""
        self._ended.set()
        self._news.set()

    def announce(self, bundle: ToolsBundle | None) -> None:
        """Take what the server says. Nothing, or one for other machines, leaves what is there as it is."""
        if bundle is None or bundle.arch != self._arch or not _makes_sense(bundle):
            return
        with self._lock:
            known = self._wanted is not None and self._wanted.digest == bundle.digest
            self._wanted = bundle
        if not known:
            if self._kept() is None:
                self._tried.clear()
            self._news.set()

    def volume(self) -> str:
        """Name of the volume with the tools; empty where there are none now. Raises ``EngineDownError``.

        Waits for tools that are being fetched for the first time.
        """
        self._tried.wait(FIRST_FETCH_SECONDS)
        kept = self._kept()
        if kept is None:
            return ""
        try:
            return self._filled(kept)
        except NOT_NOW as error:
            say(_log, "tools_not_ready", level=logging.WARNING, why=error)
            self._news.set()
            return ""

    def prepare(self) -> bool:
        """Fetch what is wanted and fill its volume; False where that has to be tried again later."""
        with self._lock:
            bundle = self._wanted
        if bundle is None:
            return True
        try:
            kept = self._obtain(bundle)
            self._filled(kept)
            self._engine.drop_tools(bundle.digest)
            self._forget_others(bundle.digest)
        except (ServerAwayError, RefusedError, EngineDownError, *NOT_NOW) as error:
            say(_log, "tools_not_ready", level=logging.WARNING, why=error)
            return False
        finally:
            self._tried.set()
        return True

    def _run(self) -> None:
        backoff = Backoff()
        while True:
            self._news.wait()
            self._news.clear()
            if self._ended.is_set():
                return
            if self.prepare():
                backoff.reset()
            elif not self._ended.wait(backoff.next_seconds()):
                self._news.set()

    def _remembered(self) -> ToolsBundle | None:
        try:
            return msgspec.json.decode((self._directory / "wanted.json").read_bytes(), type=ToolsBundle)
        except (OSError, msgspec.DecodeError):
            return None

    def _kept(self) -> tuple[str, Path] | None:
        """Digest and file of what is wanted, or of what was kept last where that is not here yet."""
        with self._lock:
            candidates = [self._wanted, self._remembered()]
        for bundle in candidates:
            if bundle is not None and self._file(bundle.digest).exists():
                return bundle.digest, self._file(bundle.digest)
        return None

    def _file(self, digest: str) -> Path:
        return self._directory / f"{digest}.tar.gz"

    def _obtain(self, bundle: ToolsBundle) -> tuple[str, Path]:
        """The bundle's file, whole and right. Raises ``DamagedError`` and what fetching raises."""
        file = self._file(bundle.digest)
        if not file.exists():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            self._download(bundle, part)
            self._point("tools_fetched")
            part.replace(file)
            say(_log, "tools_fetched", digest=bundle.digest, bytes=bundle.size_bytes)
        if self._remembered() != bundle:
            write_durably(self._directory / "wanted.json", msgspec.json.encode(bundle))
        self._point("tools_kept")
        return bundle.digest, file

    def _download(self, bundle: ToolsBundle, part: Path) -> None:
        """Go on with what there is of it. What is wrong at the end is thrown away, to begin anew."""
        have = part.stat().st_size if part.exists() else 0
        if have < bundle.size_bytes:
            with part.open("ab") as file:
                for chunk in self._fetch(bundle.url, have):
                    have += len(chunk)
                    if have > bundle.size_bytes:
                        break
                    file.write(chunk)
        if have < bundle.size_bytes:
            raise DamagedError(f"The guest tools ended after {have} of {bundle.size_bytes} bytes.")
        if have > bundle.size_bytes or _digest_of(part) != bundle.digest:
            part.unlink()
            raise DamagedError("The guest tools that were fetched are not those that were announced.")

    def _filled(self, kept: tuple[str, Path]) -> str:
        """Name of the volume, which is made unless it is there. Raises ``TaskError``, ``EngineDownError``, and
        ``DamagedError``."""
        digest, file = kept
        volume = self._engine.tools_volume(digest)
        if volume is not None:
            return volume
        with self._filling:
            volume = self._engine.tools_volume(digest)
            if volume is None:
                self._require_whole(digest, file)
                staged = self._engine.stage_tools(digest, file)
                self._point("tools_staged")
                volume = self._engine.publish_tools(digest, staged)
                self._point("tools_published")
                say(_log, "tools_ready", volume=volume)
            return volume

    def _require_whole(self, digest: str, file: Path) -> None:
        """A power cut may have cost the end of a file that was whole."""
        if _digest_of(file) != digest:
            file.unlink()
            raise DamagedError("The guest tools that were kept are damaged, and are fetched again.")

    def _forget_others(self, digest: str) -> None:
        for path in (*self._directory.glob("*.tar.gz"), *self._directory.glob("*.part")):
            if not path.name.startswith(digest):
                path.unlink(missing_ok=True)


def _makes_sense(bundle: ToolsBundle) -> bool:
    is_digest = len(bundle.digest) == 64 and all(letter in "0123456789abcdef" for letter in bundle.digest)
    return is_digest and 0 < bundle.size_bytes <= MOST_BYTES


def _digest_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
