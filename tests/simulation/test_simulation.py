"""Many stories, told to their end. How many is a matter of time; each that is told must end well.

``make simulate SEEDS=17`` or ``SEEDS=1..2000 STEPS=500`` tells these. Otherwise each of ``CHUNKS`` tests tells its
share of the seeds until ``SIMULATION_SECONDS`` are over.
"""

import os
import time
from collections.abc import Iterable

import pytest

from tests.simulation.story import tell

CHUNKS = 2
STEPS = int(os.environ.get("SIMULATION_STEPS") or 500)
SEEDS = os.environ.get("SIMULATION_SEEDS") or ""
SECONDS = float(os.environ.get("SIMULATION_SECONDS") or (0 if SEEDS else 150))
MOST_SEEDS = 200
"""In the ordinary run, all chunks together."""


def _seeds() -> Iterable[int]:
    first, _, last = (SEEDS or f"1..{MOST_SEEDS}").partition("..")
    return range(int(first), int(last or first) + 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_story_ends_well(chunk: int, capsys: pytest.CaptureFixture[str]) -> None:
    began, told, steps = time.monotonic(), list[int](), 0
    for seed in list(_seeds())[chunk::CHUNKS]:
        world = tell(seed, STEPS)
        told.append(seed)
        steps += world.step
        seconds = time.monotonic() - began
        if SECONDS and seconds > SECONDS:
            break
    if told:
        with capsys.disabled():
            print(  # noqa: T201
                f"\nsimulation, chunk {chunk}: {len(told)} seeds ({told[0]}..{told[-1]}), {steps} steps, "
                f"{steps / seconds:.0f} steps/s"
            )


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(bool(SEEDS), reason="certain seeds were asked for")
def test_a_seed_tells_the_same_story_every_time() -> None:
    first, second = tell(7, 150), tell(7, 150)
    assert list(first.actions) == list(second.actions)
    assert first.rows == second.rows
