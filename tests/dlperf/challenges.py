"""Small challenges, honest answers to them, and provers that cheat."""

import json
from typing import Any

from dlperf.challenge.plan import Plan
from dlperf.challenge.transcript import Transcript, decode_transcript
from tests.dlperf.workload import require_torch

PLAN = Plan(width=256, depth=64, steps=3, passes=3, buffer_rows=2048)
NONCE = b"a nonce of the server"


def provers(kind: type[Any] | None = None, *, gpus: int = 2, nonce: bytes = NONCE, plan: Plan = PLAN) -> list[Any]:
    """Provers that have run, of the honest kind unless another is given."""
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    from dlperf.challenge.prove import Prover  # noqa: PLC0415

    torch.set_num_threads(1)
    found = [(kind or Prover)(plan, nonce, gpu, "cpu") for gpu in range(gpus)]
    for prover in found:
        prover.run()
    return found


def told(ran: list[Any], *, nonce: bytes = NONCE, plan: Plan = PLAN) -> dict[str, Any]:
    """What these provers tell."""
    from dlperf.challenge.prove import transcript  # noqa: PLC0415

    return transcript(plan, nonce, ran)


def decoded(answer: dict[str, Any], plan: Plan = PLAN) -> Transcript:
    """As the server reads it."""
    return decode_transcript(json.dumps(answer), plan)


def cheater(change: Any) -> type[Any]:
    """A prover whose products are what ``change(self, drawn, honest product)`` makes of the honest ones."""
    require_torch()
    from dlperf.challenge.prove import Prover  # noqa: PLC0415

    class Cheater(Prover):
        def product(self, drawn: Any) -> Any:
            return change(self, drawn, super().product(drawn))

    return Cheater


def forgetful() -> type[Any]:
    """A prover with a quarter of the memory that it claims: the rest of its rows repeat the first."""
    require_torch()
    from dlperf.challenge.prove import Prover  # noqa: PLC0415

    class Forgetful(Prover):
        def fill(self) -> None:
            super().fill()
            quarter = self.buffer.shape[0] // 4
            for part in range(1, 4):
                self.buffer[part * quarter : (part + 1) * quarter] = self.buffer[:quarter]

    return Forgetful
