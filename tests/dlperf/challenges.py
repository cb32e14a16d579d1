"""Small challenges, honest answers to them, and provers that cheat."""

import base64
import hashlib
import json
import struct
import zlib
from operator import mul
from typing import Any

from dlperf.challenge.plan import (
    BLOCK,
    Plan,
    audited,
    block_digest,
    buffer_key,
    draw,
    entries,
    first_state,
    next_state,
    pass_hash,
    root,
)
from dlperf.challenge.transcript import Transcript, decode_transcript
from tests.dlperf.workload import require_torch

PLAN = Plan(width=256, depth=64, steps=3, passes=3, buffer_rows=2048)
NONCE = b"a nonce of the server"


def provers(kind: type[Any] | None = None, *, gpus: int = 2, nonce: bytes = NONCE, plan: Plan = PLAN) -> list[Any]:
    """Provers that have run, of the honest kind unless another is given."""
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    from dlperf.challenge.prove import Prover  # noqa: PLC0415 - torch is imported only by tests that use it

    torch.set_num_threads(1)
    found = [(kind or Prover)(plan, nonce, gpu, "cpu") for gpu in range(gpus)]
    for prover in found:
        prover.run()
    return found


def told(ran: list[Any], *, nonce: bytes = NONCE, plan: Plan = PLAN) -> dict[str, Any]:
    """What these provers tell."""
    from dlperf.challenge.prove import transcript  # noqa: PLC0415 - torch is imported only by tests that use it

    return transcript(plan, nonce, ran)


def decoded(answer: dict[str, Any], plan: Plan = PLAN) -> Transcript:
    """As the server reads it."""
    return decode_transcript(json.dumps(answer), plan)


def cheater(change: Any) -> type[Any]:
    """A prover whose products are what ``change(self, drawn, honest product)`` makes of the honest ones."""
    require_torch()
    from dlperf.challenge.prove import Prover  # noqa: PLC0415 - torch is imported only by tests that use it

    class Cheater(Prover):
        def product(self, drawn: Any) -> Any:
            return change(self, drawn, super().product(drawn))

    return Cheater


def forgetful() -> type[Any]:
    """A prover with a quarter of the memory that it claims: the rest of its rows repeat the first."""
    require_torch()
    from dlperf.challenge.prove import Prover  # noqa: PLC0415 - torch is imported only by tests that use it

    class Forgetful(Prover):
        def fill(self) -> None:
            super().fill()
            quarter = self.buffer.shape[0] // 4
            for part in range(1, 4):
                self.buffer[part * quarter : (part + 1) * quarter] = self.buffer[:quarter]

    return Forgetful


TINY = Plan(width=256, depth=8, steps=1, passes=1, buffer_rows=512)


def reference(nonce: bytes, gpus: int, *, error: int = 0) -> str:
    """The answer to the tiny plan without torch, number by number; with an ``error`` in every entry if asked."""
    firsts = [first_state(nonce, gpu) for gpu in range(gpus)]
    products = [_product(nonce, gpu, error) for gpu in range(gpus)]
    salts = [draw(TINY, first, 0).salt for first in firsts]
    digests = [block_digest(product, salt=salt, row=0, column=0) for product, salt in zip(products, salts, strict=True)]
    hashes = [pass_hash([digest]) for digest in digests]
    states = [next_state(first, [found]) for first, found in zip(firsts, hashes, strict=True)]
    roots = [root([state]) for state in states]
    gpu = audited(TINY, roots).gpu
    answer = {
        "version": 1,
        "nonce": hashlib.sha256(nonce).hexdigest(),
        "device": "cpu",
        "gpus": [{"root": r.hex(), "last": s.hex()} for r, s in zip(roots, states, strict=True)],
        "states": _packed(states[gpu]),
        "pass_hashes": [hashes[gpu].hex()],
        "digests": _packed(struct.pack("<Q", digests[gpu])),
        "block": _packed(struct.pack(f"<{BLOCK * BLOCK}i", *products[gpu])),
    }
    return json.dumps(answer)


def _product(nonce: bytes, gpu: int, error: int) -> list[int]:
    drawn = draw(TINY, first_state(nonce, gpu), 0)
    left = entries(drawn.kind, buffer_key(nonce, gpu), first_row=drawn.first_row, rows=BLOCK, depth=8)
    right = entries(drawn.kind, drawn.key, first_row=0, rows=BLOCK, depth=8)
    columns = [right[8 * c : 8 * c + 8] for c in range(BLOCK)]
    rows = [left[8 * r : 8 * r + 8] for r in range(BLOCK)]
    return [sum(map(mul, row, column)) + error for row in rows for column in columns]


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
