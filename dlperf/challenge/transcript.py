"""What a prover tells, decoded strictly and bounded in size."""

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.plan import BLOCK, MOST_GPUS, MOST_PASSES, STATE_BYTES, Place, Plan, audited

MAX_TRANSCRIPT_BYTES = 256 * 1024
"""A block's entries compress to some 14 bits each, so an honest transcript has less than 190,000 bytes."""

_HASH = re.compile(f"[0-9a-f]{{{2 * STATE_BYTES}}}")


class GpuAnswer(msgspec.Struct, frozen=True):
    """What one GPU came to: the hash of all its states, and the last of them, in hexadecimal digits."""

    root: str
    last: str


class _Raw(msgspec.Struct, frozen=True):
    version: int
    nonce: str
    device: str
    gpus: list[GpuAnswer]
    states: str
    pass_hashes: list[str]
    digests: str
    block: str


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """An answer. ``states``, ``pass_hashes``, ``digests`` and ``block`` are those of the place that is audited."""

    nonce_hash: str
    device: str
    gpus: list[GpuAnswer]
    place: Place
    states: list[bytes]
    pass_hashes: list[bytes]
    digests: list[int]
    block: list[int]


def decode_transcript(text: str, plan: Plan) -> Transcript:
    """Read what the program printed. Raises ValueError, in words for the host, unless it has the plan's form."""
    if len(text) > MAX_TRANSCRIPT_BYTES:
        raise ValueError("The answer is too long.")
    try:
        raw = msgspec.json.decode(text, type=_Raw)
        return _transcript(raw, plan)
    except (msgspec.DecodeError, binascii.Error, zlib.error, struct.error, UnicodeError) as error:
        raise ValueError(f"The answer can't be read: {error}") from error


def _transcript(raw: _Raw, plan: Plan) -> Transcript:
    if raw.version != CHALLENGE_VERSION:
        raise ValueError(f"The answer is of version {raw.version}; {CHALLENGE_VERSION} was asked for.")
    if not 1 <= len(raw.gpus) <= MOST_GPUS or len(raw.pass_hashes) > MOST_PASSES:
        raise ValueError("The answer is about too many or too few GPUs or passes.")
    states = _unpacked(raw.states, plan.steps * STATE_BYTES)
    digests = _unpacked(raw.digests, plan.blocks * 8)
    block = _unpacked(raw.block, BLOCK * BLOCK * 4)
    return Transcript(
        nonce_hash=raw.nonce,
        device=raw.device,
        gpus=raw.gpus,
        place=audited(plan, [_state(gpu.root) for gpu in raw.gpus]),
        states=[states[at : at + STATE_BYTES] for at in range(0, len(states), STATE_BYTES)],
        pass_hashes=[_state(one) for one in raw.pass_hashes],
        digests=list(struct.unpack(f"<{plan.blocks}Q", digests)),
        block=list(struct.unpack(f"<{BLOCK * BLOCK}i", block)),
    )


def _state(digits: str) -> bytes:
    if not _HASH.fullmatch(digits):
        raise ValueError("The answer has a hash that is none.")
    return bytes.fromhex(digits)


def _unpacked(text: str, size: int) -> bytes:
    """Exactly so many bytes, and never more in memory."""
    stream = zlib.decompressobj()
    found = stream.decompress(base64.b64decode(text, validate=True), size + 1)
    if len(found) != size or not stream.eof:
        raise ValueError("The answer has a part of the wrong length.")
    return found


def answer_of(gpus: Sequence[GpuAnswer]) -> list[str]:
    """What two machines with the same plan and nonce must have in common, GPU by GPU."""
    return [f"{gpu.root}:{gpu.last}" for gpu in gpus]
