"""What a challenge is made of, in integers: where its numbers come from, how they are multiplied, what is hashed.

Version 1. A *plan* is what the server sends. Each GPU has keys of its own, from the nonce and its number. Its memory is
filled with rows of pseudo-random bytes (splitmix64 of a counter, so any row can be reproduced alone). Then, for each
step and each pass of it:

1. from the state follow a key, a row of the buffer and a salt;
2. A is the ``width`` rows of the buffer that begin there, B as many rows of bytes that follow from the key;
3. bytes become small integers, as the pass's kind says, and C = A x B transposed is computed exactly;
4. every entry of C is mixed with its place and the salt; the sums of the mixed entries of each block of 256 x 256 are
   the pass's digests.

The next state is the SHA-256, cut to 16 bytes, of the state and of the SHA-256 of every pass's digests: so no step can
begin before the one before it is known whole.

*Exactness.* An entry is a sum of ``depth`` products. In half passes these are of -1, 0 and 1, so that every partial
sum, in any order, is an integer of at most ``depth`` <= 2048, which float16 holds exactly. In byte and single passes
they are of -16..15, so that partial sums are at most 256 x ``depth`` <= 2^24, which float32 (and TF32's sums) hold
exactly.
"""

import hashlib
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

BLOCK = 256
"""Rows and columns of what a digest is about and an audit looks at."""
STATE_BYTES = 16
MASK_64 = 2**64 - 1
MASK_32 = 2**32 - 1
GAMMA = 0x9E3779B97F4A7C15
MIX_64 = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014)."""
ROW_32, COLUMN_32 = 0x85EBCA6B, 0xC2B2AE35
MIX_32 = (0x21F0AAAD, 0x735A2D97)
LARGEST_HALF_SUM = 2**11
LARGEST_SINGLE_SUM = 2**24
MOST_STEPS = 1024
MOST_PASSES = 64
MOST_GPUS = 16


class Kind(IntEnum):
    """Which of a GPU's paths a pass goes through: float16, 8-bit integers, float32."""

    HALF = 0
    BYTE = 1
    SINGLE = 2


LARGEST_ENTRY = {Kind.HALF: 1, Kind.BYTE: 16, Kind.SINGLE: 16}
_LARGEST_SUM = {Kind.HALF: LARGEST_HALF_SUM, Kind.BYTE: LARGEST_SINGLE_SUM, Kind.SINGLE: LARGEST_SINGLE_SUM}
_TABLES = {
    Kind.HALF: bytes(((byte & 1) - (byte >> 1 & 1)) & 255 for byte in range(256)),
    Kind.BYTE: bytes(((byte & 31) - 16) & 255 for byte in range(256)),
    Kind.SINGLE: bytes(((byte & 31) - 16) & 255 for byte in range(256)),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of a challenge. Raises ValueError where a sum might not be exact or something would be out of bounds."""

    width: int
    """Rows and columns of each product."""
    depth: int
    """How many products each entry is the sum of."""
    steps: int
    passes: int
    """Products of a step."""
    buffer_rows: int
    """Rows of ``depth`` bytes that are to be kept in each GPU's memory."""

    def __post_init__(self) -> None:
        """Refuse what can't be computed exactly, or not at all."""
        if self.width < BLOCK or self.width % BLOCK or self.width > 2**15 or self.depth < 8 or self.depth % 8:
            raise ValueError("width must be a multiple of 256 up to 32768, depth one of 8")
        if any(self.largest_sum(kind) > _LARGEST_SUM[kind] for kind in Kind):
            raise ValueError("with that depth not every sum is exact")
        if not 1 <= self.steps <= MOST_STEPS or not 1 <= self.passes <= MOST_PASSES:
            raise ValueError("too many or too few steps or passes")
        if not self.width <= self.buffer_rows <= 2**40:
            raise ValueError("the buffer must hold one product's rows")

    def largest_sum(self, kind: Kind) -> int:
        """The largest absolute value that an entry, or a partial sum of it, can have."""
        return int(self.depth * LARGEST_ENTRY[kind] ** 2)

    @property
    def blocks(self) -> int:
        """Digests of a pass."""
        return (self.width // BLOCK) ** 2

    @property
    def operations(self) -> dict[Kind, int]:
        """Multiplications and additions of one GPU, by the path that they go through."""
        each = 2 * self.width * self.width * self.depth * self.steps
        return {kind: each * len(range(kind, self.passes, len(Kind))) for kind in Kind}


@dataclass(frozen=True)
class Draw:
    """What follows from a state for one pass."""

    kind: Kind
    key: int
    first_row: int
    salt: int


@dataclass(frozen=True)
class Place:
    """One block of one product of one GPU."""

    gpu: int
    step: int
    pass_number: int
    block: int


def first_state(nonce: bytes, gpu: int) -> bytes:
    """The state before the first step of the GPU with this number."""
    return _hash(b"state", nonce, gpu.to_bytes(2, "little"))


def buffer_key(nonce: bytes, gpu: int) -> int:
    """The key of the bytes that fill this GPU's memory."""
    return int.from_bytes(_hash(b"buffer", nonce, gpu.to_bytes(2, "little"))[:8], "little")


def draw(plan: Plan, state: bytes, pass_number: int) -> Draw:
    """What a pass of the step after this state multiplies."""
    drawn = hashlib.sha256(b"draw" + state + pass_number.to_bytes(2, "little")).digest()
    key, row, salt = struct.unpack_from("<QQI", drawn)
    return Draw(Kind(pass_number % len(Kind)), key, row % (plan.buffer_rows - plan.width + 1), salt)


def words(key: int, first: int, count: int) -> "array[int]":
    """So many 64-bit words of the stream with this key, from the word with the number ``first`` on."""
    one, two = MIX_64
    found = array("Q", bytes(8 * count))
    x = (key + first * GAMMA) & MASK_64
    for number in range(count):
        x = (x + GAMMA) & MASK_64
        z = ((x ^ x >> 30) * one) & MASK_64
        z = ((z ^ z >> 27) * two) & MASK_64
        found[number] = z ^ z >> 31
    return found


def entries(kind: Kind, key: int, *, first_row: int, rows: int, depth: int) -> list[int]:
    """Small integers of so many rows of a stream, row by row."""
    per_row = depth // 8
    stream = words(key, first_row * per_row, rows * per_row)
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        stream.byteswap()
    return memoryview(stream.tobytes().translate(_TABLES[kind])).cast("b").tolist()


def block_digest(values: Sequence[int], *, salt: int, row: int, column: int) -> int:
    """The digest of a block whose first entry is at this row and column of its product; ``values`` row by row."""
    one, two = MIX_32
    offsets = [(column + c) * COLUMN_32 & MASK_32 for c in range(BLOCK)]
    total = 0
    for r in range(BLOCK):
        shift = (row + r) * ROW_32 + salt
        for value, offset in zip(values[r * BLOCK : (r + 1) * BLOCK], offsets, strict=True):
            x = (value + shift + offset) * one & MASK_32
            total += (x ^ x >> 15) * two & 0x7FFFFFFF
    return total


def pass_hash(digests: Sequence[int]) -> bytes:
    """What all digests of a pass come to."""
    return _hash(b"pass", struct.pack(f"<{len(digests)}Q", *digests))


def next_state(state: bytes, pass_hashes: Sequence[bytes]) -> bytes:
    """The state after a step."""
    return _hash(b"step", state, *pass_hashes)


def root(states: Sequence[bytes]) -> bytes:
    """What a GPU's states, the first not included, come to."""
    return _hash(b"root", *states)


def audited(plan: Plan, roots: Sequence[bytes]) -> Place:
    """The block that is to be shown whole. It follows from all states of all GPUs, so nobody knows it before all is
    computed."""
    drawn = int.from_bytes(hashlib.sha256(b"audit" + b"".join(roots)).digest(), "little")
    drawn, gpu = divmod(drawn, len(roots))
    drawn, step = divmod(drawn, plan.steps)
    drawn, pass_number = divmod(drawn, plan.passes)
    return Place(gpu, step, pass_number, drawn % plan.blocks)


def block_corner(plan: Plan, block: int) -> tuple[int, int]:
    """Row and column of the block's first entry. Blocks are counted row by row."""
    row, column = divmod(block, plan.width // BLOCK)
    return row * BLOCK, column * BLOCK


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:STATE_BYTES]
