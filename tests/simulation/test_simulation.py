"""Many stories, told to their end. How many is a matter of time; each that is told must end well.

``make simulate SEEDS=17`` or ``SEEDS=1..2000 STEPS=500`` tells these. Otherwise each of ``CHUNKS`` tests tells its
share of the seeds until ``SIMULATION_SECONDS`` are over.
"""

import os
import time
from collections.abc import Callable

import pytest

from tests.simulation.story import tell

CHUNKS = int(os.environ.get("SIMULATION_CHUNKS") or 2)
STEPS = int(os.environ.get("SIMULATION_STEPS") or 500)
SEEDS = os.environ.get("SIMULATION_SEEDS") or ""
SECONDS = float(os.environ.get("SIMULATION_SECONDS") or (0 if SEEDS else 150))
"""For each chunk; 0 is as long as it takes."""
MOST_SEEDS = 200
"""In the ordinary run, all chunks together."""


def _seeds() -> range:
    first, _, last = (SEEDS or f"1..{MOST_SEEDS}").partition("..")
    return range(int(first), int(last or first) + 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_story_ends_well(chunk: int, record_property: Callable[[str, object], None]) -> None:
    began, seconds, told, steps = time.monotonic(), 0.0, list[int](), 0
    for seed in _seeds()[chunk::CHUNKS]:
        steps += tell(seed, STEPS).step
        told.append(seed)
        seconds = time.monotonic() - began
        if SECONDS and seconds > SECONDS:
            break
    if told:
        summary = f"{len(told)} seeds ({told[0]}..{told[-1]}), {steps} steps, {steps / seconds:.0f} steps/s"
        record_property("summary", f"simulation, chunk {chunk}: {summary}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(bool(SEEDS), reason="certain seeds were asked for")
def test_a_seed_tells_the_same_story_every_time() -> None:
    first, second = tell(7, 150), tell(7, 150)
    assert list(first.actions) == list(second.actions)
    assert first.rows == second.rows
