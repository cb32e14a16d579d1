"""What the agent needs of a container engine to know which images take its disk, and for whom."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image as the engine lists it."""

    image_id: str
    names: frozenset[str]
    """With their tags, as the engine spells them; empty for one that was fetched by its digest, or lost its name."""
    size_bytes: int
    """With layers that other images have too, which stay with those."""
    in_use: bool
    """A container of anybody's is made of it, whether it runs or not, or another image was made of it."""


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """What the engine has under a name."""

    image_id: str
    repositories: frozenset[str]
    """That it has come from or is called after, as ``agent.engine.references`` spells them."""
    size_bytes: int = 0
    lent_as: str = ""
    """By this name, whoever made it lets all guests of the machine use it."""


class ImageEngine(Protocol):
    """All methods may raise ``EngineDownError`` and ``TaskError``."""

    def list_images(self) -> list[ImageFacts]:
        """All that are on this machine."""

    def found_image(self, image: str) -> FoundImage | None:
        """The local image that the engine takes this name, or the beginning of an id, for; None where it has none."""

    def image_id(self, image: str) -> str | None:
        """Of the image that has this name now; None where none has."""

    def drop_image(self, image: str) -> None:
        """Take the name from an image, and delete what nothing else needs of it; does nothing where it is gone."""
