"""Images that were fetched with a login: nobody else gets one only because it lies on this machine.

Which repositories these are is written down before the first fetch, so that being killed leaves none unmarked. The
registry is then asked anew for every container that is made of one, with the login of whoever wants it. It is no
secret any more once it was fetched without any login.
"""

import threading
from pathlib import Path

import msgspec

from agent.engine.references import repository_of
from agent.engine.types import Engine
from agent.protocol import DesiredTask, RegistryLogin
from agent.tasks.memory import write_durably
from agent.tasks.slot import Slot


class PrivateRepositories:
    """The file with their names. Holds no logins."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = directory / "private-repositories.json"
        self._lock = threading.Lock()
        self._names = self._load()

    def _load(self) -> frozenset[str]:
        """A file that can't be read is an error: guessing could give somebody's image away."""
        try:
            return frozenset(msgspec.json.decode(self._file.read_bytes(), type=list[str]))
        except FileNotFoundError:
            return frozenset()

    def names(self) -> frozenset[str]:
        """All of them."""
        return self._names

    def mark(self, repository: str) -> None:
        """From now on only for who may fetch it; on the disk when this returns."""
        self._change(repository, add=True)

    def unmark(self, repository: str) -> None:
        """Anybody may fetch it."""
        self._change(repository, add=False)

    def _change(self, repository: str, *, add: bool) -> None:
        with self._lock:
            names = self._names | {repository} if add else self._names - {repository}
            if names != self._names:
                write_durably(self._file, msgspec.json.encode(sorted(names)))
                self._names = names


Asked = tuple[str, RegistryLogin | None]


class Admission:
    """Whether a task may have the image that it names as it lies here."""

    def __init__(self, engine: Engine, private: PrivateRepositories) -> None:
        self._engine = engine
        self._private = private

    def holds(self, slot: Slot, desired: DesiredTask) -> bool:
        """False where the registry has to be asked first. An image that is not here is not the question.

        One image may be known under several names: it is free under those that anybody may fetch it by. By its id it
        is only where that holds for all of them.
        """
        private = self._private.names()
        if not private or slot.admitted == _asked(desired):
            return True
        name = repository_of(desired.spec.image)
        known = self._engine.repositories(desired.spec.image) or frozenset()
        return name not in private if name in known else not private & known

    def before_fetch(self, desired: DesiredTask) -> None:
        """With a login: what comes may be private."""
        if desired.registry_login is not None:
            self._private.mark(repository_of(desired.spec.image))

    def fetched(self, slot: Slot, desired: DesiredTask) -> None:
        """The registry has let this task have the image, and all of it came."""
        if slot.desired is not desired:
            return  # it may have been given up on the way
        if desired.registry_login is None:
            self._private.unmark(repository_of(desired.spec.image))
        slot.admitted = _asked(desired)


def _asked(desired: DesiredTask) -> Asked:
    return desired.spec.image, desired.registry_login
