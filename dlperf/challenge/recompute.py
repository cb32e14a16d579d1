"""The server's own computation of small parts of a challenge, on numpy: what ``prove`` does, number for number."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from dlperf.challenge.plan import (
    ENTRY_BYTES,
    GAMMA,
    GROUP_ROWS,
    LAYER_FACTOR,
    LAYER_SHIFT,
    LAYERS,
    MIX_64,
    SCAN_COLUMNS,
    WORD_BYTES,
    Draw,
    Kind,
    Plan,
    buffer_key,
    layer_key,
)

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Entries = NDArray[np.int32]
Small = NDArray[np.float32]
"""Small integers, in a type that multiplies fast and exactly."""


def words(key: int, first: int, count: int) -> Words:
    """So many 64-bit words of the stream with this key, from the word with the number ``first`` on."""
    x = np.arange(first + 1, first + 1 + count, dtype=np.uint64) * np.uint64(GAMMA) + np.uint64(key)
    for shift, factor in zip((30, 27), MIX_64, strict=True):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def stream_rows(key: int, *, first_row: int, rows: int, depth: int) -> Bytes:
    """Bytes of so many rows of a stream."""
    per_row = depth // WORD_BYTES
    return words(key, first_row * per_row, rows * per_row).astype("<u8").view(np.uint8).reshape(rows, depth)


def small(kind: Kind, stream: Bytes) -> Small:
    """Bytes as the small integers of this kind, in a type that multiplies fast and exactly."""
    if kind is Kind.HALF:
        return (stream & 1).astype(np.float32) - (stream >> 1 & 1)
    return (stream & 31).astype(np.float32) - 16


class Memory:
    """The buffers of a machine's GPUs, row by row, as they are wanted."""

    def __init__(self, plan: Plan, nonce: bytes) -> None:
        self._plan, self._nonce = plan, nonce
        depth = plan.depth
        keys = [layer_key(nonce, layer) for layer in range(LAYERS)]
        self._layers = [small(Kind.BYTE, stream_rows(key, first_row=0, rows=depth, depth=depth)) for key in keys]

    def rows(self, gpu: int, first_row: int, rows: int) -> Bytes:
        """So many rows of a GPU's buffer."""
        found = stream_rows(buffer_key(self._nonce, gpu), first_row=first_row, rows=rows, depth=self._plan.depth)
        for layer in self._layers:
            sums = (small(Kind.BYTE, found) @ layer.T).astype(np.int32).view(np.uint32)
            found = (sums * np.uint32(LAYER_FACTOR) >> np.uint32(LAYER_SHIFT)).astype(np.uint8)
        return found

    def factors(self, gpu: int, drawn: Draw, leaf: int) -> tuple[Small, Small]:
        """The two matrices of a pass's product: its part of A, and B."""
        side = self._plan.side
        left = self.rows(gpu, drawn.first_row + leaf * side, side)
        right = stream_rows(drawn.key, first_row=0, rows=side, depth=self._plan.depth)
        return small(drawn.kind, left), small(drawn.kind, right)

    def scanned(self, gpu: int, key: int, salt: int, group: int) -> int:
        """The digest of a group of rows in a scan."""
        left = self.rows(gpu, group * GROUP_ROWS, GROUP_ROWS).view(np.int8).astype(np.float32)
        right = small(Kind.BYTE, stream_rows(key, first_row=0, rows=SCAN_COLUMNS, depth=self._plan.depth))
        return product_digest(product(left, right), salt)


def product(left: Small, right: Small) -> Entries:
    """``left`` times ``right`` transposed, exactly."""
    return (left @ right.T).astype(np.int32)


def product_digest(entries: Entries, salt: int) -> int:
    """The digest of a product."""
    found = np.ascontiguousarray(entries, dtype="<i4").ravel().view("<u8")
    odd = words(salt, 0, len(found)) | np.uint64(1)
    x = found ^ odd
    return int((x * (x + odd)).sum())


def entries_of(planes: bytes, side: int) -> Entries:
    """A product's entries from what is sent: first the lowest bytes of all, then the second lowest and so on."""
    shaped = np.frombuffer(planes, dtype=np.uint8).reshape(ENTRY_BYTES, side * side).T
    return cast("Entries", np.ascontiguousarray(shaped).view("<i4").reshape(side, side))
