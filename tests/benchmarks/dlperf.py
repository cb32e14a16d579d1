"""What checking an answer to a challenge costs the server, against what computing it costs the prover.

Both run on this CPU. The prover's cost is that of the passes of the smallest real challenge: one pass of each kind is
measured at its full size, and counts as often as the challenge has it. The server checks an answer with a block of
that size.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial

from dlperf.catalogue import gpu_models
from dlperf.challenge.plan import Kind, Plan, draw
from dlperf.challenge.transcript import decode_transcript
from dlperf.challenge.verify import problem
from hosting.domain.verification import DEPTH, PASSES, WIDTH, plan_for
from tests.benchmarks.figures import Comparison, heading, tell

ANSWERED = Plan(width=WIDTH, depth=DEPTH, steps=1, passes=len(Kind), buffer_rows=WIDTH)
NONCE = b"benchmark"


def smallest() -> Plan:
    """The challenge with the fewest steps of all models."""
    plans = [plan_for(model.hardware, int(model.vram_gb * 1024), simulated=False) for model in gpu_models().values()]
    return min(plans, key=lambda plan: plan.steps)


def seconds(call: Callable[[], object]) -> float:
    """CPU time of all threads."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{multiprocessing.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    plan = smallest()
    heading(f"Checking an answer, against computing it: {plan.steps} steps of {PASSES} products of {WIDTH} x {WIDTH}")
    tell(compare(plan, options.repeats))


def compare(plan: Plan, repeats: int) -> Comparison:
    """CPU seconds of one check and of one GPU's whole chain."""
    from dlperf.challenge.prove import Prover, transcript  # noqa: PLC0415  # torch loads when it is used

    prover = Prover(ANSWERED, NONCE, 0, "cpu")
    prover.run()
    text = json.dumps(transcript(ANSWERED, NONCE, [prover]))
    comparison = Comparison("checking / computing", "s", at_most=0.01)
    for _ in range(repeats):
        checking = seconds(lambda: _check(text))
        each = [seconds(partial(prover.product, draw(ANSWERED, prover.first, kind))) for kind in Kind]
        comparison.add(checking, sum(each) * plan.steps * plan.passes / len(Kind))
    return comparison


def _check(text: str) -> None:
    wrong = problem(decode_transcript(text, ANSWERED), plan=ANSWERED, nonce=NONCE, gpus=1, seed=b"secret")
    if wrong:
        raise AssertionError(wrong)


if __name__ == "__main__":
    main()
