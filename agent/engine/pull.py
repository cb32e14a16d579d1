"""Progress of an image pull from Docker's stream of layer messages."""

from typing import Any

_DOWNLOAD_SHARE = 0.7
"""Of a layer's work; the rest is unpacking it."""


class PullProgress:
    """Share done, 0..1, over the bytes of the layers seen so far; never goes back."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[float, float]] = {}
        self._share = 0.0

    def update(self, message: dict[str, Any]) -> float:
        """Take one message of the stream; returns the share done."""
        layer, status = message.get("id"), message.get("status", "")
        detail = message.get("progressDetail") or {}
        if layer and status in ("Download complete", "Pull complete", "Already exists"):
            self._finish(layer, downloaded_only=status == "Download complete")
        elif layer and detail.get("total"):
            self._advance(layer, status, float(detail.get("current", 0)), float(detail["total"]))
        self._share = max(self._share, self._total())
        return self._share

    def _advance(self, layer: str, status: str, current: float, total: float) -> None:
        share = current / total
        done = _DOWNLOAD_SHARE + (1 - _DOWNLOAD_SHARE) * share if status == "Extracting" else _DOWNLOAD_SHARE * share
        self._layers[layer] = (max(done, self._layers.get(layer, (0.0, 0.0))[0]), total)

    def _finish(self, layer: str, *, downloaded_only: bool) -> None:
        size = self._layers.get(layer, (0.0, 0.0))[1]
        self._layers[layer] = (_DOWNLOAD_SHARE if downloaded_only else 1.0, size)

    def _total(self) -> float:
        size = sum(total for _, total in self._layers.values())
        return min(1.0, sum(done * total for done, total in self._layers.values()) / size) if size else 0.0
