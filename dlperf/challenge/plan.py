"""What a challenge is made of, in integers: where its numbers come from, how they are multiplied, what is hashed.

Version 2. A *plan* is what the server sends, with a nonce and, new for each machine and each time, a tag.

*The buffer.* Each GPU's memory is filled with rows of ``depth`` bytes. A row begins as pseudo-random bytes (splitmix64
of a counter, with the GPU's key) and goes through ``LAYERS`` products with matrices that follow from the nonce; after
each, the entries are hashed to bytes. So any row can be reproduced alone, which the server does for a few, but at the
price of thousands of operations for each byte.

*A step* follows from the state before it.

1. Each pass multiplies: A is a window of the buffer, ``products`` times ``side`` rows; B is ``side`` rows of bytes that
   follow from the pass's key. Bytes become small integers as the pass's kind says, and of each part of ``side`` rows
   of A the product with B transposed is computed exactly.
2. The scan reads the whole buffer: each group of ``GROUP_ROWS`` rows, as bytes with a sign, is multiplied with
   ``SCAN_COLUMNS`` rows of small integers that follow from the scan's key. That is hundreds of operations for each
   byte, so that whoever keeps rows elsewhere needs a GPU's arithmetic there too, or has to move them.
3. The *digest* of a product is a sum over all its entries, modulo 2^64: two neighbouring entries are a word w; with the
   odd word k of the product's own stream at that place, and x = w XOR k, the sum is that of x * (x + k). It is no
   linear function of the entries, so nothing but the entries gives it.

The next state is the SHA-256, cut to 16 bytes, of the state and of what the digests of all passes and of the scan come
to: so no step can begin before the one before it is known whole.

*Two chains.* The first ``steps`` begin with a state that follows from nonce and tag: nobody else's work is of use for
them. The last ``common_steps`` begin with one that follows from the nonce alone: so machines of several hosts that got
the same nonce must agree there.

*Exactness.* An entry is a sum of ``depth`` products. In half passes these are of -1, 0 and 1, so that every partial
sum, in any order, is an integer of at most ``depth`` <= 2048, which float16 holds exactly. In byte and single passes,
and in the layers, they are of -16..15, so that partial sums are at most 256 x ``depth`` <= 2^24, which float32 (and
TF32's sums) hold exactly. In a scan one factor is -128..127 and the other -16..15: at most 2^11 x ``depth`` <= 2^22.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

STATE_BYTES = 16
WORD_BYTES = 8
ENTRY_BYTES = 4
MASK_64 = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
MIX_64 = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014)."""
LAYERS = 4
LAYER_FACTOR, LAYER_SHIFT = 0x9E3779B1, 24
"""An entry of a layer becomes the byte that its product with this, modulo 2^32, has above this many bits."""
GROUP_ROWS = 256
SCAN_COLUMNS = 128
SHELF_LEAVES = 1024
"""Digests are hashed on shelves of so many, so that one can be shown with its shelf and the hashes of the others."""
LARGEST_HALF_SUM = 2**11
LARGEST_SINGLE_SUM = 2**24
MOST_STEPS = 2048
MOST_PASSES = 48
MOST_PRODUCTS = 256
MOST_BUFFER_BYTES = 2**40
MOST_GPUS = 16


class Kind(IntEnum):
    """Which of a GPU's paths a pass goes through: float16, 8-bit integers, float32."""

    HALF = 0
    BYTE = 1
    SINGLE = 2


LARGEST_ENTRY = {Kind.HALF: 1, Kind.BYTE: 16, Kind.SINGLE: 16}
_LARGEST_SUM = {Kind.HALF: LARGEST_HALF_SUM, Kind.BYTE: LARGEST_SINGLE_SUM, Kind.SINGLE: LARGEST_SINGLE_SUM}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of a challenge. Raises ValueError where a sum might not be exact or something would be out of bounds."""

    side: int
    """Rows and columns of each product."""
    depth: int
    """How many products each entry is the sum of; bytes of a row of the buffer."""
    products: int
    """Of a pass."""
    passes: int
    """Of a step."""
    steps: int
    """Of the machine's own chain."""
    common_steps: int
    """Of the chain that all who got the nonce have in common."""
    buffer_rows: int
    """Rows that are to be kept in each GPU's memory."""

    def __post_init__(self) -> None:
        """Refuse what can't be computed exactly, or not at all."""
        if not 32 <= self.side <= 4096 or self.side % 32 or self.depth < 8 or self.depth % 8:
            raise ValueError("side must be a multiple of 32 up to 4096, depth one of 8")
        if any(self.largest_sum(kind) > _LARGEST_SUM[kind] for kind in Kind):
            raise ValueError("with that depth not every sum is exact")
        if not 1 <= self.products <= MOST_PRODUCTS or not 1 <= self.passes <= MOST_PASSES:
            raise ValueError("too many or too few products or passes")
        if self.steps < 1 or self.common_steps < 1 or self.all_steps > MOST_STEPS:
            raise ValueError("too many or too few steps")
        if self.buffer_rows % GROUP_ROWS or not self.window_rows <= self.buffer_rows:
            raise ValueError(f"the buffer must hold one pass's rows, and a multiple of {GROUP_ROWS}")
        if self.buffer_bytes > MOST_BUFFER_BYTES:
            raise ValueError("the buffer is too large")

    def largest_sum(self, kind: Kind) -> int:
        """The largest absolute value that an entry, or a partial sum of it, can have."""
        return int(self.depth * LARGEST_ENTRY[kind] ** 2)

    @property
    def all_steps(self) -> int:
        """Of both chains, counted through: the machine's own ones first."""
        return self.steps + self.common_steps

    @property
    def window_rows(self) -> int:
        """Rows of the buffer that a pass multiplies."""
        return self.products * self.side

    @property
    def buffer_bytes(self) -> int:
        """Of each GPU."""
        return self.buffer_rows * self.depth

    @property
    def groups(self) -> int:
        """Of rows, that a scan has a digest of."""
        return self.buffer_rows // GROUP_ROWS

    @property
    def product_words(self) -> int:
        """Words of 64 bits in a product."""
        return self.side * self.side * ENTRY_BYTES // WORD_BYTES

    @property
    def group_words(self) -> int:
        """Words of 64 bits in the product of a group of rows."""
        return GROUP_ROWS * SCAN_COLUMNS * ENTRY_BYTES // WORD_BYTES

    def passes_of(self, kind: Kind) -> int:
        """How many of a step's passes go through this path."""
        return len(range(kind, self.passes, len(Kind)))

    def leaves(self, part: int) -> int:
        """Digests of a pass, or of the scan, which is the part after the last pass."""
        return self.groups if part == self.passes else self.products


@dataclass(frozen=True)
class Draw:
    """What follows from a state for one pass."""

    kind: Kind
    key: int
    first_row: int
    salt: int


@dataclass(frozen=True)
class Place:
    """What one digest is about: of which GPU, in which step, of which part of it, and which of that part's.

    Steps of both chains are counted through. The part is the number of a pass; the scan is the one after the last.
    """

    gpu: int
    step: int
    part: int
    leaf: int


def first_state(nonce: bytes, tag: bytes, gpu: int) -> bytes:
    """The state before the first step of the GPU with this number. The common chain's has an empty tag."""
    return _hash(b"state", _sized(nonce), _sized(tag), gpu.to_bytes(2, "little"))


def state_before(plan: Plan, nonce: bytes, tag: bytes, *, gpu: int, step: int, states: Sequence[bytes]) -> bytes:
    """The state that a step begins with; ``states`` are those after each step of both chains."""
    if step == 0:
        return first_state(nonce, tag, gpu)
    return first_state(nonce, b"", gpu) if step == plan.steps else states[step - 1]


def buffer_key(nonce: bytes, gpu: int) -> int:
    """The key of the bytes that this GPU's rows begin as."""
    return _key(_hash(b"buffer", _sized(nonce), gpu.to_bytes(2, "little")))


def layer_key(nonce: bytes, layer: int) -> int:
    """The key of the matrix that all rows of all GPUs are multiplied with in this layer."""
    return _key(_hash(b"layer", _sized(nonce), layer.to_bytes(2, "little")))


def draw(plan: Plan, state: bytes, pass_number: int) -> Draw:
    """What a pass of the step after this state multiplies."""
    drawn = hashlib.sha256(b"draw" + state + pass_number.to_bytes(2, "little")).digest()
    key, row, salt = struct.unpack_from("<QQQ", drawn)
    return Draw(Kind(pass_number % len(Kind)), key, row % (plan.buffer_rows - plan.window_rows + 1), salt)


def scan_draw(state: bytes) -> tuple[int, int]:
    """Key and salt of the scan of the step after this state."""
    key, salt = struct.unpack("<QQ", _hash(b"scan", state))
    return key, salt


def leaves_root(leaves: bytes, leaf_bytes: int) -> bytes:
    """What a row of digests, or of states, comes to."""
    return shelves_root(shelf_hashes(leaves, leaf_bytes))


def shelf_hashes(leaves: bytes, leaf_bytes: int) -> list[bytes]:
    """The hash of each shelf of ``SHELF_LEAVES``; the last one may have fewer."""
    size = SHELF_LEAVES * leaf_bytes
    return [_hash(b"shelf", leaves[at : at + size]) for at in range(0, len(leaves), size)]


def shelves_root(hashes: Sequence[bytes]) -> bytes:
    """What the hashes of all shelves come to."""
    return _hash(b"root", *hashes)


def next_state(state: bytes, parts: Sequence[bytes]) -> bytes:
    """The state after a step whose passes and scan come to these."""
    return _hash(b"step", state, *parts)


def _sized(data: bytes) -> bytes:
    """So that two of them in a row can't be taken for two others."""
    return len(data).to_bytes(2, "little") + data


def _key(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "little")


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:STATE_BYTES]
