"""The prover: a challenge on GPUs, all of them at once, or on the CPU in their place."""

import base64
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.plan import (
    BLOCK,
    COLUMN_32,
    GAMMA,
    MIX_32,
    MIX_64,
    ROW_32,
    Draw,
    Kind,
    Plan,
    audited,
    block_corner,
    buffer_key,
    draw,
    first_state,
    next_state,
    pass_hash,
    root,
)

FILL_ROWS = 16_384
"""Rows of the buffer that are made at once: the arithmetic needs some times their room."""
BYTE_PRODUCTS_CAPABILITY = (7, 5)


class Prover:
    """One device with its buffer. ``gpu`` is its number among those of the machine."""

    def __init__(self, plan: Plan, nonce: bytes, gpu: int, device: str) -> None:
        self.plan, self.device = plan, torch.device(device)
        self.first = first_state(nonce, gpu)
        self._key = buffer_key(nonce, gpu)
        count = plan.width
        self._rows = _wrapped_32(torch.arange(count, device=self.device) * ROW_32)[:, None]
        self._columns = _wrapped_32(torch.arange(count, device=self.device) * COLUMN_32)[None, :]
        self.buffer = torch.empty((plan.buffer_rows, plan.depth), dtype=torch.uint8, device=self.device)
        self.states: list[bytes] = []

    def fill(self) -> None:
        """Fill the memory."""
        rows = self.buffer.shape[0]
        for first in range(0, rows, FILL_ROWS):
            last = min(first + FILL_ROWS, rows)
            self.buffer[first:last] = self._stream(self._key, first, last - first)

    def run(self) -> None:
        """All steps, one after the other."""
        self.fill()
        state = self.first
        for _ in range(self.plan.steps):
            state = next_state(state, [pass_hash(digests) for digests in self.step_digests(state)])
            self.states.append(state)

    def step_digests(self, state: bytes) -> list[list[int]]:
        """The digests of each pass of the step after this state."""
        drawn = [draw(self.plan, state, number) for number in range(self.plan.passes)]
        found = torch.stack([self._digests(self.product(one), one.salt) for one in drawn])
        return [list(map(int, digests)) for digests in found.cpu().tolist()]

    def product(self, drawn: Draw) -> Any:
        """C, as 32-bit integers."""
        left = self.buffer[drawn.first_row : drawn.first_row + self.plan.width]
        right = self._stream(drawn.key, 0, self.plan.width)
        return self._multiply(drawn.kind, _small(drawn.kind, left), _small(drawn.kind, right))

    def _multiply(self, kind: Kind, left: Any, right: Any) -> Any:
        if kind is Kind.HALF and self.device.type == "cuda":
            return torch.mm(left.half(), right.half().T).to(torch.int32)
        if kind is Kind.BYTE and self._has_byte_products():
            return torch._int_mm(left, right.T)
        return torch.mm(left.float(), right.float().T).to(torch.int32)

    def _has_byte_products(self) -> bool:
        if self.device.type != "cuda":
            return False
        return bool(torch.cuda.get_device_capability(self.device) >= BYTE_PRODUCTS_CAPABILITY)

    def _digests(self, product: Any, salt: int) -> Any:
        """Sums of mixed entries, a number for each block."""
        one, two = map(_signed_32, MIX_32)
        x = product.add_(self._rows).add_(self._columns).add_(_signed_32(salt)).mul_(one)
        x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).mul_(two).bitwise_and_(0x7FFFFFFF)
        across = self.plan.width // BLOCK
        return x.view(across, BLOCK, across, BLOCK).sum((1, 3), dtype=torch.int64).flatten()

    def _stream(self, key: int, first_row: int, rows: int) -> Any:
        """Bytes of so many rows of a stream, as ``plan.words`` has them."""
        per_row = self.plan.depth // 8
        first = first_row * per_row + 1
        x = torch.arange(first, first + rows * per_row, dtype=torch.int64, device=self.device)
        x.mul_(_signed_64(GAMMA)).add_(_signed_64(key))
        for shift, factor in zip((30, 27), MIX_64, strict=True):
            x.bitwise_xor_((x >> shift).bitwise_and_(2 ** (64 - shift) - 1)).mul_(_signed_64(factor))
        x.bitwise_xor_((x >> 31).bitwise_and_(2**33 - 1))
        return x.view(torch.uint8).view(rows, self.plan.depth)


def _small(kind: Kind, stream: Any) -> Any:
    """Bytes as small integers."""
    if kind is Kind.HALF:
        return (stream & 1).to(torch.int8) - (stream >> 1 & 1).to(torch.int8)
    return (stream & 31).to(torch.int8) - 16


def _signed_32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def _signed_64(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _wrapped_32(values: Any) -> Any:
    return ((values + 2**31) % 2**32 - 2**31).to(torch.int32)


def devices(kind: str, gpus: int) -> list[str]:
    """What torch calls so many GPUs, or the CPU in the place of each. Raises ValueError unless they are there."""
    if kind == "cpu":
        return ["cpu"] * gpus
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found != gpus:
        raise ValueError(f"torch sees {found} GPUs; the machine is said to have {gpus}.")
    return [f"cuda:{index}" for index in range(found)]


def prove(plan: Plan, nonce: bytes, names: list[str]) -> dict[str, Any]:
    """The answer of all devices, computed at once, as JSON values. What goes wrong on one is raised."""
    torch.set_float32_matmul_precision("highest")
    provers = [Prover(plan, nonce, gpu, device) for gpu, device in enumerate(names)]
    with ThreadPoolExecutor(len(provers)) as pool:
        list(pool.map(Prover.run, provers))
    return transcript(plan, nonce, provers)


def transcript(plan: Plan, nonce: bytes, provers: list[Prover]) -> dict[str, Any]:
    """What is told: every GPU's root and last state; of the one that is audited all states and one block."""
    roots = [root(prover.states) for prover in provers]
    place = audited(plan, roots)
    prover = provers[place.gpu]
    before = [prover.first, *prover.states][place.step]
    digests = prover.step_digests(before)
    product = prover.product(draw(plan, before, place.pass_number))
    row, column = block_corner(plan, place.block)
    block = product[row : row + BLOCK, column : column + BLOCK].contiguous().cpu()
    return {
        "version": CHALLENGE_VERSION,
        "nonce": hashlib.sha256(nonce).hexdigest(),
        "device": provers[0].device.type,
        "gpus": [{"root": r.hex(), "last": p.states[-1].hex()} for r, p in zip(roots, provers, strict=True)],
        "states": _packed(b"".join(prover.states)),
        "pass_hashes": [pass_hash(found).hex() for found in digests],
        "digests": _packed(b"".join(found.to_bytes(8, "little") for found in digests[place.pass_number])),
        "block": _packed(b"".join(int(value).to_bytes(4, "little", signed=True) for value in block.flatten().tolist())),
    }


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
