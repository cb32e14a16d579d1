"""What a prover says, decoded strictly and bounded in size."""

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.plan import ENTRY_BYTES, MOST_GPUS, SHELF_LEAVES, STATE_BYTES, WORD_BYTES, Place, Plan

MOST_COMMITMENT_BYTES = 4096
MOST_ANSWER_BYTES = 2**20
"""A product of 512 x 512 compresses to some 16 bits an entry, so an honest answer has less than 800,000."""

_HASH = re.compile(f"[0-9a-f]{{{2 * STATE_BYTES}}}")


class GpuRoots(msgspec.Struct, frozen=True):
    """What one GPU came to: the hash of all its states, and of those of the common chain, in hexadecimal digits."""

    root: str
    common: str


class _Told(msgspec.Struct, frozen=True):
    version: int


T = TypeVar("T", bound=_Told)


class Commitment(_Told, frozen=True):
    """What all GPUs came to, told before it is known which places have to be shown."""

    nonce: str
    """SHA-256 of the nonce, in hexadecimal digits."""
    device: str
    gpus: list[GpuRoots]


class _Raw(_Told, frozen=True):
    states: str
    parts: list[str]
    shelves: str
    shelf: str
    entries: str


@dataclass(frozen=True, kw_only=True)
class Revealed:
    """A place of what was computed.

    ``states`` are those of its GPU, ``parts`` what each pass of the step, and its scan, come to, ``shelf`` the digests
    on the place's shelf, ``shelves`` the hashes of all shelves of its part, and ``entries`` the product's, as bytes;
    none in a scan.
    """

    place: Place
    states: list[bytes]
    parts: list[bytes]
    shelves: list[bytes]
    shelf: list[int]
    entries: bytes


class Ready(_Told, frozen=True):
    """The devices have their memory."""

    device: str
    gpus: int


def decode_ready(text: str | bytes) -> Ready:
    """Read what the program said when it was asked whether it is ready. Raises ValueError unless it has that form."""
    return _decoded(text, Ready, MOST_COMMITMENT_BYTES)


def decode_commitment(text: str | bytes) -> Commitment:
    """Read what the program said first. Raises ValueError, in words for the host, unless it has the right form."""
    told = _decoded(text, Commitment, MOST_COMMITMENT_BYTES)
    if not 1 <= len(told.gpus) <= MOST_GPUS:
        raise ValueError("The answer is about too many or too few GPUs.")
    for gpu in told.gpus:
        _state(gpu.root), _state(gpu.common)
    return told


def decode_revealed(text: str | bytes, place: Place, plan: Plan) -> Revealed:
    """Read what the program showed of a place. Raises ValueError, in words for the host, unless it has that form."""
    raw = _decoded(text, _Raw, MOST_ANSWER_BYTES)
    try:
        return _revealed(raw, place, plan)
    except (binascii.Error, zlib.error, struct.error) as error:
        raise ValueError(f"The answer can't be read: {error}") from error


def _revealed(raw: _Raw, place: Place, plan: Plan) -> Revealed:
    leaves = plan.leaves(place.part)
    shelves = -(-leaves // SHELF_LEAVES)
    on_shelf = min(SHELF_LEAVES, leaves - place.leaf // SHELF_LEAVES * SHELF_LEAVES)
    is_scan = place.part == plan.passes
    if len(raw.parts) != plan.passes + 1:
        raise ValueError("The answer is about too many or too few passes.")
    return Revealed(
        place=place,
        states=_states(_unpacked(raw.states, plan.all_steps * STATE_BYTES)),
        parts=[_state(one) for one in raw.parts],
        shelves=_states(_unpacked(raw.shelves, shelves * STATE_BYTES)),
        shelf=list(struct.unpack(f"<{on_shelf}Q", _unpacked(raw.shelf, on_shelf * WORD_BYTES))),
        entries=_unpacked(raw.entries, 0 if is_scan else plan.side * plan.side * ENTRY_BYTES),
    )


def _decoded(text: str | bytes, kind: type[T], most_bytes: int) -> T:
    if len(text) > most_bytes:
        raise ValueError("The answer is too long.")
    try:
        told = msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"The answer can't be read: {error}") from error
    if told.version != CHALLENGE_VERSION:
        raise ValueError(f"The answer is of version {told.version}; {CHALLENGE_VERSION} was asked for.")
    return told


def _state(digits: str) -> bytes:
    if not _HASH.fullmatch(digits):
        raise ValueError("The answer has a hash that is none.")
    return bytes.fromhex(digits)


def _states(data: bytes) -> list[bytes]:
    return [data[at : at + STATE_BYTES] for at in range(0, len(data), STATE_BYTES)]


def _unpacked(text: str, size: int) -> bytes:
    """Exactly so many bytes, and never more in memory."""
    stream = zlib.decompressobj()
    found = stream.decompress(base64.b64decode(text, validate=True), size + 1)
    if len(found) != size or not stream.eof or stream.unused_data:
        raise ValueError("The answer has a part of the wrong length.")
    return found


def common_answer(gpus: Sequence[GpuRoots]) -> list[str]:
    """What two machines with the same plan and nonce must have in common, GPU by GPU."""
    return [gpu.common for gpu in gpus]
