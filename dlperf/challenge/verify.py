"""The server's check of an answer: that it belongs to the question, hangs together, and has one product right.

What is compared with other machines' answers, or with an answer known beforehand, covers every entry of every product.
What is checked here needs no other machine: one block of 256 x 256 of one product, which nobody could foresee, is
checked by Freivalds' method (R. Freivalds, "Probabilistic machines can use less running time", 1977). Over the field of
p = 2^61 - 1 elements, with one random vector, a wrong block passes with a probability of at most 1/p < 2^-60. A prover
that has computed only a part f of its blocks has the right one with probability f, and may try anew with other wrong
blocks as long as it has time: what is wrong almost everywhere does not pass, what is wrong in few places only
comparison finds.
"""

import hashlib
import struct
from collections.abc import Sequence
from operator import mul

from dlperf.challenge.plan import (
    BLOCK,
    Plan,
    block_corner,
    block_digest,
    buffer_key,
    draw,
    entries,
    first_state,
    next_state,
    pass_hash,
    root,
)
from dlperf.challenge.transcript import Transcript

PRIME = 2**61 - 1


def problem(answer: Transcript, *, plan: Plan, nonce: bytes, gpus: int, seed: bytes) -> str:
    """What is wrong with the answer, as a sentence; "" when nothing is.

    ``seed`` is secret and new for each check: Freivalds' vector follows from it.
    """
    return _unrelated(answer, nonce, gpus) or _loose(answer, plan, nonce) or _wrong_block(answer, plan, nonce, seed)


def _unrelated(answer: Transcript, nonce: bytes, gpus: int) -> str:
    if answer.nonce_hash != hashlib.sha256(nonce).hexdigest():
        return "It answers another question than the one that was asked: an old answer, or another machine's."
    if len(answer.gpus) != gpus:
        return f"It is about {len(answer.gpus)} GPUs; the machine says that it has {gpus}."
    if len({gpu.root for gpu in answer.gpus}) < gpus:
        return "Two GPUs have the same answer, though each was asked for its own."
    return ""


def _loose(answer: Transcript, plan: Plan, nonce: bytes) -> str:
    """Whether hashes, states and digests fit into each other."""
    place, told = answer.place, answer.gpus[answer.place.gpu]
    if root(answer.states).hex() != told.root or answer.states[-1].hex() != told.last:
        return f"The states of GPU {place.gpu} are not those that its answer is made of."
    before = _before(answer, nonce)
    if len(answer.pass_hashes) != plan.passes or next_state(before, answer.pass_hashes) != answer.states[place.step]:
        return f"Step {place.step} of GPU {place.gpu} does not follow from the step before."
    if pass_hash(answer.digests) != answer.pass_hashes[place.pass_number]:
        return f"The digests of step {place.step}, pass {place.pass_number}, are not those that were hashed."
    return ""


def _before(answer: Transcript, nonce: bytes) -> bytes:
    place = answer.place
    return [first_state(nonce, place.gpu), *answer.states][place.step]


def _wrong_block(answer: Transcript, plan: Plan, nonce: bytes, seed: bytes) -> str:
    """Whether the block is the product of what follows from the state before it, and its digest the one hashed."""
    place = answer.place
    where = f"block {place.block} of step {place.step}, pass {place.pass_number}, of GPU {place.gpu}"
    drawn = draw(plan, _before(answer, nonce), place.pass_number)
    row, column = block_corner(plan, place.block)
    depth = plan.depth
    key = buffer_key(nonce, place.gpu)
    left = entries(drawn.kind, key, first_row=drawn.first_row + row, rows=BLOCK, depth=depth)
    right = entries(drawn.kind, drawn.key, first_row=column, rows=BLOCK, depth=depth)
    if not is_product(answer.block, left, right, seed=seed):
        return f"The product is wrong in {where}."
    if block_digest(answer.block, salt=drawn.salt, row=row, column=column) != answer.digests[place.block]:
        return f"The product shown is not the one that was hashed in {where}."
    return ""


def is_product(block: Sequence[int], left: Sequence[int], right: Sequence[int], *, seed: bytes) -> bool:
    """Whether ``block`` is ``left`` times ``right`` transposed, all given row by row, each of 256 rows.

    Wrongly yes with a probability of at most 2^-60; never wrongly no. The entries must be less than 2^32 in absolute
    value, so that none is taken for another that differs by the prime.
    """
    depth = len(left) // BLOCK
    vector = _vector(seed)
    turned = [sum(map(mul, right[k::depth], vector)) % PRIME for k in range(depth)]
    for row in range(BLOCK):
        expected = sum(map(mul, left[row * depth : (row + 1) * depth], turned))
        if (expected - sum(map(mul, block[row * BLOCK : (row + 1) * BLOCK], vector))) % PRIME:
            return False
    return True


def _vector(seed: bytes) -> list[int]:
    """Elements of the field. 128 bits are reduced, so the distance from evenness is below 2^-66."""
    stream = hashlib.shake_256(seed).digest(16 * BLOCK)
    return [(high << 64 | low) % PRIME for low, high in struct.iter_unpack("<QQ", stream)]
