"""Which of the images that lie on this machine a task may have as they lie there.

That an image is here gives nobody a right to it: it may be somebody's private one, the saved disk of another instance,
or the host's own. So the registry is asked, with the login of whoever wants it, for every container, except of images
that this agent has once fetched by that name without any login, and of those that their maker labels as lent. Only
their own names lead to images: the engine would also take the beginning of an id.
"""

import logging
import threading
from collections.abc import Collection
from pathlib import Path

import msgspec

from agent.engine.references import repository_of
from agent.engine.types import Engine, TaskError
from agent.logs import say
from agent.protocol import DesiredTask, RegistryLogin
from agent.tasks.memory import write_durably
from agent.tasks.slot import Slot

_log = logging.getLogger(__name__)

SAVED_DISKS = "spotyard-disk/"
_RESERVED = (SAVED_DISKS, "spotyard/empty")
"""What the agent calls images of its own: anything that came from a registry by such a name would take their place."""


class FreeImages:
    """The file that says which images anybody may fetch: by id, the repositories they came from without a login."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = directory / "free-images.json"
        self._lock = threading.Lock()
        self._known = self._load()

    def _load(self) -> dict[str, frozenset[str]]:
        """What can't be read frees nothing: the registry is asked again."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, frozenset[str]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            say(_log, "free_images_unreadable", level=logging.WARNING, why=error)
            return {}

    def has(self, image_id: str, repository: str) -> bool:
        """Whether the image came from there without a login."""
        return repository in self._known.get(image_id, ())

    def add(self, image_id: str, repository: str, present: Collection[str]) -> None:
        """From now on, as long as it is here; ``present`` are the ids of all that are."""
        with self._lock:
            kept = {key: names for key, names in self._known.items() if key in present}
            known = kept | {image_id: kept.get(image_id, frozenset()) | {repository}}
            if known != self._known:
                self._known = known
                write_durably(self._file, msgspec.json.encode({key: sorted(names) for key, names in known.items()}))


Asked = tuple[str, RegistryLogin | None]


class Admission:
    """Whether a task may have the image that it names as it lies here."""

    def __init__(self, engine: Engine, free: FreeImages) -> None:
        self._engine = engine
        self._free = free

    def holds(self, slot: Slot, desired: DesiredTask) -> bool:
        """False where the registry has to be asked first. Raises ``TaskError`` (image_missing) for the agent's own."""
        repository = repository_of(desired.spec.image)
        if repository.startswith(_RESERVED):
            raise TaskError("image_missing", f"Images called {repository} are no guest's to use.")
        if slot.admitted == _asked(desired):
            return True
        found = self._engine.found_image(desired.spec.image)
        if found is None or repository not in found.repositories:
            return False
        return found.lent_as == repository or self._free.has(found.image_id, repository)

    def fetched(self, slot: Slot, desired: DesiredTask) -> None:
        """The registry has let this task have the image, and all of it came."""
        if slot.desired is not desired:
            return  # it may have been given up on the way
        slot.admitted = _asked(desired)
        found = self._engine.found_image(desired.spec.image)
        if desired.registry_login is None and found is not None:
            present = {one.image_id for one in self._engine.list_images()}
            self._free.add(found.image_id, repository_of(desired.spec.image), present)


def _asked(desired: DesiredTask) -> Asked:
    return desired.spec.image, desired.registry_login
