"""When images have to go, and which first. Pure.

An image is only a copy of what a registry has: losing one costs the next guest who wants it the time of a download.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.engine.image_types import ImageFacts

FULL_SHARE = 0.85
"""Of the engine's disk in use: from here on images go,"""
RELIEVED_SHARE = 0.75
"""down to here, so that not every new image costs an old one."""
LEAST_REST_SECONDS = 900.0
"""An image that was fetched or used more recently stays: a container may be about to be made of it."""


@dataclass(frozen=True)
class Disk:
    """In bytes. ``floor_bytes`` have to stay free for anything to be started."""

    total_bytes: int
    free_bytes: int
    floor_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return self._leaves_less_than(1 - FULL_SHARE, 2)

    @property
    def is_relieved(self) -> bool:
        return not self._leaves_less_than(1 - RELIEVED_SHARE, 3)

    def _leaves_less_than(self, share: float, floors: int) -> bool:
        return self.free_bytes < max(self.total_bytes * share, floors * self.floor_bytes)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An image that the agent has fetched: the names that it came under, and the time, in seconds since 1970."""

    names: frozenset[str]
    used_at: float


def dispensable(
    images: Collection[ImageFacts], fetched: Mapping[str, Fetched], wanted: Collection[str], now: float
) -> list[ImageFacts]:
    """Images that may be deleted, the one that has not been used for longest first.

    ``fetched`` and ``wanted``, which tasks are to be made of, are known by image id. An image that bears a name which
    the agent did not give it is somebody else's too.
    """
    free = [
        image
        for image in images
        if not image.in_use
        and image.image_id not in wanted
        and image.image_id in fetched
        and image.names <= fetched[image.image_id].names
        and now - fetched[image.image_id].used_at >= LEAST_REST_SECONDS
    ]
    return sorted(free, key=lambda image: (fetched[image.image_id].used_at, image.image_id))
