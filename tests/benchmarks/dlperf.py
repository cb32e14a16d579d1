"""What checking an answer to a challenge costs the server, against what computing it costs the prover.

Both run on this CPU. The prover's cost is that of the smallest real challenge, of one GPU: filling a part of its
memory, one pass of each kind and the scan of that part are measured at their full width, and count as often as the
challenge has them. The server checks as many places as it does for a machine with one GPU.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from dlperf.catalogue import gpu_models
from dlperf.challenge.answers import Commitment, decode_commitment, decode_revealed
from dlperf.challenge.plan import Kind, Place, Plan, draw, scan_draw
from dlperf.challenge.verify import Auditor
from hosting.domain.challenge_plans import GROUPS_SHOWN, PRODUCTS_SHOWN, plan_for
from tests.benchmarks.figures import Comparison, heading, tell

NONCE, TAG = b"benchmark", b"tag"


def smallest() -> Plan:
    """The challenge with the fewest steps of all models."""
    plans = [plan_for(model.hardware, int(model.vram_gb * 1024), simulated=False) for model in gpu_models().values()]
    return min(plans, key=lambda plan: plan.all_steps)


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
    heading(
        f"Checking an answer, against computing it: {plan.all_steps} steps, each of {plan.passes} passes of "
        f"{plan.products} products and of {plan.buffer_bytes / 2**30:.1f} GiB read"
    )
    tell(compare(plan, options.repeats))


def compare(plan: Plan, repeats: int) -> Comparison:
    """CPU seconds of one check and of one GPU's whole chain."""
    from dlperf.challenge.prove import Session  # noqa: PLC0415  # torch loads when it is used
    from dlperf.challenge.serve import committed, revealed  # noqa: PLC0415  # likewise

    part = replace(plan, products=1, passes=len(Kind), steps=1, common_steps=1, buffer_rows=plan.side)
    session = Session(part, ["cpu"])
    told = decode_commitment(json.dumps(committed(session, NONCE, TAG)))
    places = [Place(0, 0, number % part.passes, 0) for number in range(PRODUCTS_SHOWN)]
    places += [Place(0, 1, part.passes, number % part.groups) for number in range(GROUPS_SHOWN)]
    shown = [(place, json.dumps(revealed(session, place))) for place in places]
    comparison = Comparison("checking / computing", "s", at_most=0.01)
    for _ in range(repeats):
        checking = seconds(lambda: _check(told, shown, part))
        comparison.add(checking, _computing(session, plan, part))
    return comparison


def _computing(session: object, plan: Plan, part: Plan) -> float:
    prover = session.provers[0]  # type: ignore[attr-defined]  # torch is no requirement of the types
    before = prover.state_before(0)
    parts_of_buffer = plan.buffer_bytes / part.buffer_bytes
    fill = seconds(prover.fill) * parts_of_buffer
    scan = seconds(partial(prover.scan, *scan_draw(before))) * parts_of_buffer
    each = [seconds(partial(prover.digests, draw(part, before, kind))) * plan.products for kind in Kind]
    return float(fill + plan.all_steps * (scan + sum(each) / len(Kind) * plan.passes))


def _check(told: Commitment, shown: list[tuple[Place, str]], plan: Plan) -> None:
    auditor = Auditor(plan, told, nonce=NONCE, tag=TAG, seed=b"secret")
    for place, text in shown:
        wrong = auditor.problem(decode_revealed(text, place, plan))
        if wrong:
            raise AssertionError(wrong)


if __name__ == "__main__":
    main()
