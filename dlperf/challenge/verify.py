"""The server's check of an answer: that it belongs to the question, hangs together, and is right where it is looked at.

The prover first tells what everything comes to. Only then are places drawn, by the server's own chance, and shown. So
a prover of whose states only a part f follow from honest steps, or of whose products or rows only a part f are right,
gets through each place with a probability of f at most, and can't try again. What is wrong in few places only the
comparison with others' answers finds, which covers every entry of the common chain.

- *A product* is shown whole, and checked by Freivalds' method (R. Freivalds, "Probabilistic machines can use less
  running time", 1977) with its factors, which the server computes itself: over the field of p = 2^31 - 1 elements, with
  two random vectors, a wrong one passes with a probability of at most 1/p^2 < 2^-61.
- *A group of rows* that the scan multiplied is computed again.
"""

import hashlib
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dlperf.challenge.answers import Commitment, Revealed
from dlperf.challenge.plan import (
    SHELF_LEAVES,
    STATE_BYTES,
    Place,
    Plan,
    draw,
    leaves_root,
    next_state,
    scan_draw,
    shelf_hashes,
    shelves_root,
    state_before,
)
from dlperf.challenge.recompute import Entries, Memory, Small, entries_of, product_digest

PRIME = 2**31 - 1
VECTORS = 2


def commitment_problem(told: Commitment, *, nonce: bytes, gpus: int) -> str:
    """What is wrong with what all comes to, as a sentence; "" when nothing is."""
    if told.nonce != hashlib.sha256(nonce).hexdigest():
        return "It answers another question than the one that was asked: an old answer, or another machine's."
    if len(told.gpus) != gpus:
        return f"It is about {len(told.gpus)} GPUs; the machine says that it has {gpus}."
    if len({gpu.root for gpu in told.gpus}) < gpus or len({gpu.common for gpu in told.gpus}) < gpus:
        return "Two GPUs have the same answer, though each was asked for its own."
    return ""


class Auditor:
    """Checks the places shown of one answer. ``seed`` is secret and new: Freivalds' vectors follow from it."""

    def __init__(self, plan: Plan, told: Commitment, *, nonce: bytes, tag: bytes, seed: bytes) -> None:
        self._plan, self._told = plan, told
        self._nonce, self._tag, self._seed = nonce, tag, seed
        self._memory = Memory(plan, nonce)

    def problem(self, shown: Revealed) -> str:
        """What is wrong with a place, as a sentence; "" when nothing is."""
        loose = self._loose(shown)
        if loose:
            return loose
        return self._wrong_scan(shown) if shown.place.part == self._plan.passes else self._wrong_product(shown)

    def _loose(self, shown: Revealed) -> str:
        """Whether hashes, states and digests fit into each other and into what was told before."""
        place, told = shown.place, self._told.gpus[shown.place.gpu]
        if _root(shown.states) != told.root or _root(shown.states[self._plan.steps :]) != told.common:
            return f"The states of GPU {place.gpu} are not those that its answer is made of."
        if next_state(self._before(shown), shown.parts) != shown.states[place.step]:
            return f"Step {place.step} of GPU {place.gpu} does not follow from the step before."
        (shelf,) = shelf_hashes(struct.pack(f"<{len(shown.shelf)}Q", *shown.shelf), 8)
        on_it = shown.shelves[place.leaf // SHELF_LEAVES]
        if shelves_root(shown.shelves) != shown.parts[place.part] or shelf != on_it:
            return f"The digests of step {place.step}, part {place.part}, are not those that were hashed."
        return ""

    def _before(self, shown: Revealed) -> bytes:
        place = shown.place
        return state_before(self._plan, self._nonce, self._tag, gpu=place.gpu, step=place.step, states=shown.states)

    def _wrong_product(self, shown: Revealed) -> str:
        """Whether the entries are the product of what follows from the state before, and their digest the hashed."""
        place = shown.place
        drawn = draw(self._plan, self._before(shown), place.part)
        left, right = self._memory.factors(place.gpu, drawn, place.leaf)
        entries = entries_of(shown.entries, self._plan.side)
        if not is_product(entries, left, right, seed=self._seed + repr(place).encode()):
            return f"The product is wrong in {_where(place)}."
        if product_digest(entries, drawn.salt) != shown.shelf[place.leaf % SHELF_LEAVES]:
            return f"The product shown is not the one that was hashed in {_where(place)}."
        return ""

    def _wrong_scan(self, shown: Revealed) -> str:
        place = shown.place
        right = self._memory.scanned(place.gpu, *scan_draw(self._before(shown)), place.leaf)
        if right != shown.shelf[place.leaf % SHELF_LEAVES]:
            return f"The memory read is not the memory that was to be filled in {_where(place)}."
        return ""


def _root(states: Sequence[bytes]) -> str:
    return leaves_root(b"".join(states), STATE_BYTES).hex()


def _where(place: Place) -> str:
    return f"part {place.part}, number {place.leaf}, of step {place.step} of GPU {place.gpu}"


def is_product(entries: Entries, left: Small, right: Small, *, seed: bytes) -> bool:
    """Whether ``entries`` are ``left`` times ``right`` transposed.

    Wrongly yes with a probability of at most 2^-61; never wrongly no. Entries of 32 bits can differ by a multiple of
    the prime and be taken for each other, so all have to be smaller than half of it, as products are. ``left`` and
    ``right`` have small integers, so that no sum below goes beyond 2^63.
    """
    if int(entries.max()) >= PRIME // 2 or int(entries.min()) <= -(PRIME // 2):
        return False
    vectors = _vectors(seed, entries.shape[1])
    turned = (right.T.astype(np.int64) @ vectors) % PRIME
    expected = (left.astype(np.int64) @ turned) % PRIME
    return bool(((_times(entries, vectors) - expected) % PRIME == 0).all())


def _times(entries: Entries, vectors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Entries of up to 30 bits times elements of up to 31: each sum of two fits, and each is reduced at once."""
    low, high = entries.astype(np.int64) & 0xFFFF, entries.astype(np.int64) >> 16
    return ((high @ vectors) % PRIME * 2**16 + low @ vectors) % PRIME


def _vectors(seed: bytes, rows: int) -> NDArray[np.int64]:
    """Elements of the field. 64 bits are reduced, so the distance from evenness is below 2^-32."""
    stream = hashlib.shake_256(seed).digest(8 * rows * VECTORS)
    return (np.frombuffer(stream, dtype="<u8") % np.uint64(PRIME)).astype(np.int64).reshape(rows, VECTORS)
