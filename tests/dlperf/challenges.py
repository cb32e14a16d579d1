"""Small challenges, honest answers to them, and provers that cheat."""

import base64
import hashlib
import json
import struct
import zlib
from typing import Any

import numpy as np

from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.answers import Commitment, decode_commitment, decode_revealed
from dlperf.challenge.plan import (
    STATE_BYTES,
    WORD_BYTES,
    Place,
    Plan,
    draw,
    leaves_root,
    next_state,
    scan_draw,
    shelf_hashes,
    state_before,
)
from dlperf.challenge.recompute import Entries, Memory, product, product_digest
from dlperf.challenge.verify import Auditor, commitment_problem
from tests.dlperf.workload import require_torch

PLAN = Plan(side=64, depth=64, products=3, passes=3, steps=3, common_steps=2, buffer_rows=2048)
TINY = Plan(side=32, depth=8, products=1, passes=1, steps=1, common_steps=1, buffer_rows=256)
NONCE, TAG = b"a nonce of the server", b"a tag"
SEED = b"secret"


def all_places(plan: Plan = PLAN, gpus: int = 2) -> list[Place]:
    """Whatever can be asked for."""
    return [
        Place(gpu, step, part, leaf)
        for gpu in range(gpus)
        for step in range(plan.all_steps)
        for part in range(plan.passes + 1)
        for leaf in range(plan.leaves(part))
    ]


def session(kind: type[Any] | None = None, *, gpus: int = 2, plan: Plan = PLAN) -> Any:
    """The program with provers of the honest kind, unless another is given, before it is asked anything."""
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    from dlperf.challenge.prove import Session  # noqa: PLC0415 - torch is imported only by tests that use it

    torch.set_num_threads(1)
    found = Session(plan, ["cpu"] * gpus)
    if kind is not None:
        found.provers = [kind(plan, gpu, "cpu") for gpu in range(gpus)]
    return found


def asked(one: Any, *, nonce: bytes = NONCE, tag: bytes = TAG) -> dict[str, Any]:
    """What the session says everything comes to."""
    from dlperf.challenge.serve import committed  # noqa: PLC0415 - torch is imported only by tests that use it

    return committed(one, nonce, tag)


def shown(one: Any, place: Place) -> dict[str, Any]:
    """What the session shows of a place."""
    from dlperf.challenge.serve import revealed  # noqa: PLC0415 - torch is imported only by tests that use it

    return revealed(one, place)


def commitment(told: dict[str, Any]) -> Commitment:
    """As the server reads it."""
    return decode_commitment(json.dumps(told))


def auditor(told: dict[str, Any], *, nonce: bytes = NONCE, tag: bytes = TAG, plan: Plan = PLAN) -> Auditor:
    """Of an answer that was told."""
    return Auditor(plan, commitment(told), nonce=nonce, tag=tag, seed=SEED)


def problems(one: Any, places: list[Place] | None = None, *, plan: Plan = PLAN) -> list[str]:
    """What is found wrong with each of these places, by default all that there are, of a session's answer."""
    told = asked(one)
    assert not commitment_problem(commitment(told), nonce=NONCE, gpus=len(one.provers))
    audit = auditor(told, plan=plan)
    looked_at = all_places(plan, len(one.provers)) if places is None else places
    return [audit.problem(decode_revealed(json.dumps(shown(one, place)), place, plan)) for place in looked_at]


def cheater(change: Any) -> type[Any]:
    """A prover whose products are what ``change(self, drawn, honest products)`` makes of the honest ones."""
    require_torch()
    from dlperf.challenge.prove import Prover  # noqa: PLC0415 - torch is imported only by tests that use it

    class Cheater(Prover):
        def products(self, drawn: Any) -> Any:
            return change(self, drawn, super().products(drawn))

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


class Reference:
    """A machine's program without torch, number by number; with an ``error`` in every entry if asked."""

    def __init__(self, nonce: bytes, tag: bytes, gpus: int, *, plan: Plan = TINY, error: int = 0) -> None:
        self.plan, self.nonce, self.tag, self.error = plan, nonce, tag, error
        self._memory = Memory(plan, nonce)
        self.states: list[list[bytes]] = []
        for gpu in range(gpus):
            self.states.append([])
            for step in range(plan.all_steps):
                leaves = [leaves_root(one, WORD_BYTES) for one in self._leaves(gpu, step)]
                self.states[gpu].append(next_state(self._before(gpu, step), leaves))

    def _before(self, gpu: int, step: int) -> bytes:
        return state_before(self.plan, self.nonce, self.tag, gpu=gpu, step=step, states=self.states[gpu])

    def _leaves(self, gpu: int, step: int) -> list[bytes]:
        before, plan = self._before(gpu, step), self.plan
        passes = [
            [
                product_digest(self._product(Place(gpu, step, part, leaf)), draw(plan, before, part).salt)
                for leaf in range(plan.products)
            ]
            for part in range(plan.passes)
        ]
        scan = [self._memory.scanned(gpu, *scan_draw(before), group) for group in range(plan.groups)]
        return [struct.pack(f"<{len(one)}Q", *one) for one in [*passes, scan]]

    def _product(self, place: Place) -> Entries:
        drawn = draw(self.plan, self._before(place.gpu, place.step), place.part)
        return product(*self._memory.factors(place.gpu, drawn, place.leaf)) + np.int32(self.error)

    def commitment(self) -> str:
        """What everything comes to."""
        gpus = [
            {
                "root": leaves_root(b"".join(states), STATE_BYTES).hex(),
                "common": leaves_root(b"".join(states[self.plan.steps :]), STATE_BYTES).hex(),
            }
            for states in self.states
        ]
        nonce = hashlib.sha256(self.nonce).hexdigest()
        return json.dumps({"version": CHALLENGE_VERSION, "nonce": nonce, "device": "cpu", "gpus": gpus})

    def revealed(self, place: Place) -> str:
        """A place of it."""
        leaves = self._leaves(place.gpu, place.step)
        is_scan = place.part == self.plan.passes
        planes = b"" if is_scan else self._product(place).view(np.uint8).reshape(-1, 4).T.tobytes()
        answer = {
            "version": CHALLENGE_VERSION,
            "states": _packed(b"".join(self.states[place.gpu])),
            "parts": [leaves_root(one, WORD_BYTES).hex() for one in leaves],
            "shelves": _packed(b"".join(shelf_hashes(leaves[place.part], WORD_BYTES))),
            "shelf": _packed(leaves[place.part]),
            "entries": _packed(planes),
        }
        return json.dumps(answer)


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode()
