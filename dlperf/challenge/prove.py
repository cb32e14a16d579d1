"""The prover: a challenge on GPUs, all of them at once, or on the CPU in their place."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from dlperf.challenge.plan import (
    ENTRY_BYTES,
    GAMMA,
    GROUP_ROWS,
    LAYER_FACTOR,
    LAYER_SHIFT,
    LAYERS,
    MIX_64,
    SCAN_COLUMNS,
    STATE_BYTES,
    WORD_BYTES,
    Draw,
    Kind,
    Place,
    Plan,
    buffer_key,
    draw,
    layer_key,
    leaves_root,
    next_state,
    scan_draw,
    state_before,
)
from dlperf.cuda import UnsupportedGpuError, require_kernels

FILL_ROWS = 8_192
"""Rows of the buffer that are made at once: the arithmetic needs some times their room."""
SCANNED_ROWS = 65_536
"""Of the buffer that are scanned at once; a multiple of a group's."""


class Prover:
    """One device with its buffer. ``gpu`` is its number among those of the machine."""

    def __init__(self, plan: Plan, gpu: int, device: str) -> None:
        self.plan, self.gpu, self.device = plan, gpu, torch.device(device)
        self._has_byte_products = self._can_multiply_bytes()
        self.buffer = torch.zeros((plan.buffer_rows, plan.depth), dtype=torch.uint8, device=self.device)
        self.states: list[bytes] = []
        self._nonce = self._tag = b""

    def _can_multiply_bytes(self) -> bool:
        """Tried, because which devices can, and in which sizes, is another thing in each torch."""
        if self.device.type != "cuda":
            return False
        one = torch.ones((32, self.plan.depth), dtype=torch.int8, device=self.device)
        try:
            return bool(torch._int_mm(one, one.T)[0, 0].item() == self.plan.depth)
        except RuntimeError:
            return False

    def run(self, nonce: bytes, tag: bytes) -> None:
        """Fill the memory, then all steps of both chains, one after the other."""
        self._nonce, self._tag = nonce, tag
        self.fill()
        for step in range(self.plan.all_steps):
            state = self.state_before(step)
            parts = [leaves_root(leaves, WORD_BYTES) for leaves in self.step_leaves(state)]
            self.states.append(next_state(state, parts))

    def state_before(self, step: int) -> bytes:
        """The state that a step begins with."""
        return state_before(self.plan, self._nonce, self._tag, gpu=self.gpu, step=step, states=self.states)

    def fill(self) -> None:
        """Fill the memory."""
        key = buffer_key(self._nonce, self.gpu)
        keys = [layer_key(self._nonce, layer) for layer in range(LAYERS)]
        layers = [_small(Kind.BYTE, self._rows(one, 0, self.plan.depth)) for one in keys]
        for first in range(0, self.plan.buffer_rows, FILL_ROWS):
            last = min(first + FILL_ROWS, self.plan.buffer_rows)
            self.buffer[first:last] = self._through_layers(self._rows(key, first, last - first), layers)

    def _through_layers(self, rows: Any, layers: list[Any]) -> Any:
        for layer in layers:
            found = self._multiply(Kind.BYTE, _small(Kind.BYTE, rows), layer)
            found.mul_(_signed(LAYER_FACTOR, 32)).bitwise_right_shift_(LAYER_SHIFT)
            rows = found.bitwise_and_(255).to(torch.uint8)
        return rows

    def step_leaves(self, state: bytes) -> list[bytes]:
        """The digests of each pass of the step after this state, and last those of its scan."""
        drawn = [draw(self.plan, state, number) for number in range(self.plan.passes)]
        found = torch.stack([self.digests(one) for one in drawn]).cpu()
        return [*map(_bytes_of, found), self.scan(*scan_draw(state))]

    def digests(self, drawn: Draw) -> Any:
        """Of each product of a pass."""
        return self._digests(self.products(drawn), self.plan.products, self._odd(drawn.salt, self.plan.product_words))

    def products(self, drawn: Draw) -> Any:
        """All products of a pass, below each other, as 32-bit integers."""
        left = self.buffer[drawn.first_row : drawn.first_row + self.plan.window_rows]
        right = self._rows(drawn.key, 0, self.plan.side)
        return self._multiply(drawn.kind, _small(drawn.kind, left), _small(drawn.kind, right))

    def scan(self, key: int, salt: int) -> bytes:
        """The digests of all groups of rows."""
        right = _small(Kind.BYTE, self._rows(key, 0, SCAN_COLUMNS))
        odd = self._odd(salt, self.plan.group_words)
        parts = self.buffer.view(torch.int8).split(SCANNED_ROWS)
        found = [self._digests(self._multiply(Kind.BYTE, part, right), len(part) // GROUP_ROWS, odd) for part in parts]
        return _bytes_of(torch.cat(found).cpu())

    def _odd(self, salt: int, words: int) -> Any:
        return self._words(salt, 0, words).bitwise_or_(1)

    def _digests(self, entries: Any, count: int, odd: Any) -> Any:
        """Of so many products below each other."""
        found = entries.contiguous().view(count, -1).view(torch.int64)
        found.bitwise_xor_(odd)
        return (found + odd).mul_(found).sum(1)

    def shown(self, place: Place) -> Any:
        """The entries of the product at this place."""
        product = self.products(draw(self.plan, self.state_before(place.step), place.part))
        return product[place.leaf * self.plan.side : (place.leaf + 1) * self.plan.side].contiguous().cpu()

    def _multiply(self, kind: Kind, left: Any, right: Any) -> Any:
        if kind is Kind.HALF and self.device.type == "cuda":
            return torch.mm(left.half(), right.half().T).to(torch.int32)
        if kind is Kind.BYTE and self._has_byte_products:
            return torch._int_mm(left, right.T)
        return torch.mm(left.float(), right.float().T).to(torch.int32)

    def _rows(self, key: int, first_row: int, rows: int) -> Any:
        """Bytes of so many rows of a stream."""
        per_row = self.plan.depth // WORD_BYTES
        return self._words(key, first_row * per_row, rows * per_row).view(torch.uint8).view(rows, self.plan.depth)

    def _words(self, key: int, first: int, count: int) -> Any:
        """So many words of the stream with this key, from the one with the number ``first`` on: splitmix64."""
        x = torch.arange(first + 1, first + 1 + count, dtype=torch.int64, device=self.device)
        x.mul_(_signed(GAMMA, 64)).add_(_signed(key, 64))
        for shift, factor in zip((30, 27), MIX_64, strict=True):
            x.bitwise_xor_((x >> shift).bitwise_and_(2 ** (64 - shift) - 1)).mul_(_signed(factor, 64))
        return x.bitwise_xor_((x >> 31).bitwise_and_(2**33 - 1))


def _small(kind: Kind, stream: Any) -> Any:
    """Bytes as small integers."""
    if kind is Kind.HALF:
        return (stream & 1).to(torch.int8) - (stream >> 1 & 1).to(torch.int8)
    return (stream & 31).to(torch.int8) - 16


def _signed(value: int, bits: int) -> int:
    half: int = 1 << bits - 1
    return (value + half) % (2 * half) - half


def _bytes_of(values: Any) -> bytes:
    """The memory of a tensor of the CPU. Torch alone has no quicker way to it."""
    whole = values.contiguous()
    return ctypes.string_at(whole.data_ptr(), whole.numel() * whole.element_size())


def entry_bytes(product: Any) -> bytes:
    """32-bit entries, first the lowest bytes of all, then the second lowest and so on: that compresses best."""
    return _bytes_of(product.view(torch.uint8).view(-1, ENTRY_BYTES).T)


def devices(kind: str, gpus: int) -> list[str]:
    """What torch calls so many GPUs, or the CPU in the place of each.

    Raises ValueError unless they are there, and UnsupportedGpuError where this torch can't say or can't use them.
    """
    if kind == "cpu":
        return ["cpu"] * gpus
    if not torch.cuda.is_available():
        raise UnsupportedGpuError("torch can't use the GPUs: the driver is too old for it, or there are none.")
    found = torch.cuda.device_count()
    if found != gpus:
        raise ValueError(f"torch sees {found} GPUs; the machine is said to have {gpus}.")
    names = [f"cuda:{index}" for index in range(found)]
    for name in names:
        require_kernels(name)
    return names


class Session:
    """All devices of a machine: they get their memory first, then one question, then they show places of the answer."""

    def __init__(self, plan: Plan, names: list[str]) -> None:
        torch.set_float32_matmul_precision("highest")
        self.plan = plan
        self.kind = torch.device(names[0]).type
        self.provers = [Prover(plan, gpu, device) for gpu, device in enumerate(names)]
        self.asked: tuple[bytes, bytes] | None = None

    def commit(self, nonce: bytes, tag: bytes) -> list[tuple[bytes, bytes]]:
        """Compute everything, on all devices at once; what each one's states come to: all of them, and the common ones.

        Asking again gives the same. Raises ValueError for another question: there is one for each session.
        """
        if self.asked not in (None, (nonce, tag)):
            raise ValueError("This program has been asked another question already.")
        if self.asked is None:
            with ThreadPoolExecutor(len(self.provers)) as pool:
                list(pool.map(lambda prover: prover.run(nonce, tag), self.provers))
            self.asked = (nonce, tag)
        return [self._roots(prover.states) for prover in self.provers]

    def _roots(self, states: list[bytes]) -> tuple[bytes, bytes]:
        common = states[self.plan.steps :]
        return leaves_root(b"".join(states), STATE_BYTES), leaves_root(b"".join(common), STATE_BYTES)

    def reveal(self, place: Place) -> tuple[list[bytes], list[bytes], bytes]:
        """All states of the place's GPU, the digests of each part of the step, and the product's entries.

        Raises ValueError before all is computed, or where there is no such place.
        """
        plan = self.plan
        if self.asked is None or not 0 <= place.gpu < len(self.provers) or not 0 <= place.step < plan.all_steps:
            raise ValueError("There is nothing to show at that place.")
        if not 0 <= place.part <= plan.passes or not 0 <= place.leaf < plan.leaves(place.part):
            raise ValueError("There is nothing to show at that place.")
        prover = self.provers[place.gpu]
        leaves = prover.step_leaves(prover.state_before(place.step))
        entries = b"" if place.part == plan.passes else entry_bytes(prover.shown(place))
        return prover.states, leaves, entries
