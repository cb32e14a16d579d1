"""Replaces the agent by the version that the marketplace offers.

Fetched and installed beside the running one while that works on; started at a quiet moment, by ending: systemd then
runs the launcher, which finds the new version on trial. Containers run on and are adopted. Whatever is killed when: a
version is complete or not there, and which one runs is written in one file (``agent.installer.launch``).
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import __version__
from agent.backoff import Backoff
from agent.installer import launch
from agent.installer.system import InstallError
from agent.installer.versions import Bundle, UnfitError, forget_others, make_version, require_options
from agent.logs import say
from agent.protocol import AgentRelease, UpdateFailure
from agent.server import RefusedError, ServerAwayError

_log = logging.getLogger(__name__)

HEALTHY_SYNCS = 3
"""So many answers in a row confirm a version."""
MOST_BYTES = 32 << 20
_LOOK_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 900.0

Fetch = Callable[[str], Iterator[bytes]]
"""Content of a URL. Raises ``ServerAwayError``, ``RefusedError``."""


@dataclass(frozen=True)
class Place:
    """Where the launcher that started this agent keeps versions, and what it reads to choose one."""

    root: Path
    state: Path
    python: str = ""
    """The interpreter that environments are made of."""
    config: Path | None = None
    """The options that the next version is started with, too."""

    @property
    def versions(self) -> Path:
        return self.root / "versions"


def place_of_this() -> Place | None:
    """None where the agent was not started by the launcher: then it is not for it to replace itself."""
    state, root = os.environ.get(launch.STATE_VARIABLE), os.environ.get(launch.ROOT_VARIABLE)
    if not state or not root:
        return None
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    config = next((Path(word[1:]) for word in sys.argv if word.startswith("@")), None)
    return Place(Path(root), Path(state), str(base), config)


class Updater:
    """``heed`` every answer of the marketplace. ``restart`` is called when the agent should end; ``is_quiet`` is asked
    before, each second."""

    def __init__(
        self,
        place: Place,
        *,
        fetch: Fetch,
        is_quiet: Callable[[], bool],
        restart: Callable[[], None],
        own: str = __version__,
        backoff: Callable[[], Backoff] = lambda: Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS),
    ) -> None:
        self._place = place
        self._fetch = fetch
        self._is_quiet = is_quiet
        self._restart = restart
        self._own = own
        self._backoff = backoff
        self._healthy = 0
        self._lock = threading.Lock()
        self._wanted: AgentRelease | None = None
        self._working = False
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.told = ""
        """What goes on, in words; empty for nothing."""

    def stop(self) -> None:
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Until nothing is under way, or the time is over; whether nothing is."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def failure(self) -> UpdateFailure | None:
        """The version that was given up last on this machine."""
        state = launch.read_state(self._place.state)
        return UpdateFailure(version=state.failed, why=state.why) if state.failed else None

    def answered(self) -> None:
        """The marketplace answered this version: enough of that, and it is what runs from now on."""
        with self._lock:
            self._healthy += 1
            enough = self._healthy == HEALTHY_SYNCS
        if not enough:
            return
        try:
            self._confirm()
        except OSError as error:
            self._healthy = HEALTHY_SYNCS - 1  # the next answer is another occasion
            say(_log, "not_confirmed", level=logging.WARNING, version=self._own, why=error)

    def _confirm(self) -> None:
        state = launch.change_state(self._place.state, lambda before: launch.confirmed(before, self._own))
        gone = forget_others(self._place.versions, state.good, state.trial, self._own)
        if state.good == self._own:
            say(_log, "version_confirmed", version=self._own, removed=",".join(gone) or "none")

    def want(self, release: AgentRelease | None) -> None:
        """What the marketplace offers this machine now; None for whatever runs."""
        with self._lock:
            self._wanted = release
            if release is None or not self._is_news(release) or self._working or self._ended.is_set():
                return
            self._working = True
            self._thread = threading.Thread(target=self._run, name="updater", daemon=True)
            self._thread.start()

    def _is_news(self, release: AgentRelease) -> bool:
        failed = launch.read_state(self._place.state).failed
        return release.version not in (self._own, failed) and _makes_sense(release)

    def _run(self) -> None:
        backoff = self._backoff()
        try:
            while not self._ended.is_set():
                release = self._still_wanted()
                if release is None:
                    self.told = ""
                    return
                if self._bring(release):
                    return
                self._ended.wait(backoff.next_seconds())
        finally:
            with self._lock:
                self._working = False

    def _still_wanted(self) -> AgentRelease | None:
        with self._lock:
            release = self._wanted
        return release if release is not None and self._is_news(release) else None

    def _bring(self, release: AgentRelease) -> bool:
        """Whether this is over, well or not; False where it should be tried again later."""
        try:
            self.told = f"installing version {release.version}"
            self._install(release)
            return self._change_over(release)
        except UnfitError as error:
            return self._give_up(release.version, str(error))
        except (InstallError, ServerAwayError, RefusedError, OSError) as error:
            self.told = f"version {release.version} could not be installed yet: {_first_line(error)}"
            say(_log, "update_not_ready", level=logging.WARNING, version=release.version, why=error)
            return False

    def _install(self, release: AgentRelease) -> None:
        target = self._place.versions / release.version
        if not target.is_dir():
            self._make(release)
        if self._place.config is not None:
            require_options(target, self._place.config)

    def _make(self, release: AgentRelease) -> None:
        self._place.versions.mkdir(parents=True, exist_ok=True)
        file = self._place.versions / ".bundle.tar.gz"
        try:
            file.write_bytes(b"".join(_bounded(self._fetch(release.url))))
            make_version(Bundle(file, release.version, release.digest), self._place.versions, self._place.python)
        finally:
            file.unlink(missing_ok=True)
        say(_log, "version_installed", version=release.version)

    def _change_over(self, release: AgentRelease) -> bool:
        """Wait for a quiet moment and end; False where another version is wanted meanwhile."""
        self.told = f"version {release.version} begins as soon as nothing is being started, copied or moved"
        while not self._is_quiet():
            if self._ended.wait(_LOOK_SECONDS):
                return True
            if self._still_wanted() != release:
                break
        if self._still_wanted() != release:
            return False
        launch.change_state(self._place.state, lambda state: launch.tried(state, release.version))
        say(_log, "update_begins", before=self._own, version=release.version)
        self._ended.set()
        self._restart()
        return True

    def _give_up(self, version: str, why: str) -> bool:
        """True where that is written down, so that it is not tried for ever."""
        self.told = f"version {version} does not work here: {why}"
        say(_log, "update_failed", level=logging.ERROR, version=version, why=why)
        note = _first_line(why)[:300]
        try:
            launch.change_state(self._place.state, lambda state: launch.refused(state, version, note))
        except OSError:
            return False
        return True


def _first_line(text: object) -> str:
    return next(iter(str(text).splitlines()), "")


def _makes_sense(release: AgentRelease) -> bool:
    is_digest = len(release.digest) == 64 and all(letter in "0123456789abcdef" for letter in release.digest)
    return is_digest and 0 < release.size_bytes <= MOST_BYTES and bool(release.version)


def _bounded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Raises ``InstallError`` where it does not end."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > MOST_BYTES:
            raise InstallError("The agent's bundle is larger than any of ours.")
        yield chunk
