"""What the agent needs of a container engine for the volumes that clients rent."""

from collections.abc import Mapping
from typing import Protocol

CLIENT_VOLUME_PREFIX = "spotyard-volume-"
"""Names of the volumes that clients rent begin with it. They belong to no container, and never go with one."""
VOLUME_LABEL = "spotyard.volume"
"""Number of such a volume."""


class VolumeEngine(Protocol):
    """All methods may raise ``EngineDownError`` and ``TaskError``."""

    def make_volume(self, name: str, labels: Mapping[str, str], size_gb: int, *, reserved: bool) -> None:
        """Make a volume, empty; does nothing where it is there. ``reserved`` takes the room for it at once."""

    def volume_names(self, label: str) -> set[str]:
        """All volumes with this label, given as "name=value"."""

    def volume_used_mb(self, name: str) -> int | None:
        """What is in a volume, as ``disk_used_mb`` counts; None where that is not seen from here."""
