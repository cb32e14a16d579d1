"""Runs the benchmark program and a challenge on this machine's CUDA devices, and compares with the CPU's answer.

    python3 -m scripts.gpu_check [--record docs/gpu_check.json]

It needs torch alone. The comparison is bit for bit: every product of every path (float16, 8-bit integers, float32), in
the sizes of a real challenge, and every digest of a small challenge's chains. All that can be compared and was not
counts as a failure, and so does a metric of the benchmark that was skipped. With ``--record`` the devices, the date and
the figures are written to a file. Exit status 0: all is equal; 1: something is not; 2: there is no CUDA device.
"""

import argparse
import json
import platform
import secrets
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlperf.challenge.plan import Kind, Plan, draw

ROOT = Path(__file__).resolve().parent.parent
COMPARED = Plan(side=1024, depth=2048, products=2, passes=6, steps=2, common_steps=1, buffer_rows=16_384)
"""In the sizes of a real one, and short enough for a CPU."""
TIMED = Plan(side=1024, depth=2048, products=64, passes=6, steps=3, common_steps=1, buffer_rows=1_000_192)
"""Steps of a real one, to see their speed; it fills 2 GB."""
SINCE_CAPABILITY = {"gemm_tf32_tflops": (8, 0), "gemm_bf16_tflops": (8, 0), "gemm_int8_tops": (7, 5)}
"""What older GPUs can't do."""
NOTHING_CHECKED = 2


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Compare this machine's CUDA devices with the CPU.")
    parser.add_argument("--record", type=Path, help="where to write devices, date and figures")
    options = parser.parse_args()
    names = _devices()
    if not names:
        return NOTHING_CHECKED
    record = _about(names) | {
        "challenge": _challenge(len(names)),
        "paths": _paths(len(names)),
        "benchmark": _workload(),
    }
    record["passed"] = all(record[part]["passed"] for part in ("challenge", "paths", "benchmark"))
    print(json.dumps(record, indent=2))
    if options.record is not None:
        options.record.write_text(json.dumps(record, indent=2) + "\n")
    return 0 if record["passed"] else 1


def _devices() -> list[str]:
    try:
        import torch  # noqa: PLC0415  # it is no requirement of the marketplace
    except ImportError:
        print("torch is not installed: nothing was checked.")
        return []
    if not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was checked.")
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _about(names: list[str]) -> dict[str, Any]:
    import torch  # noqa: PLC0415  # it is no requirement of the marketplace

    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "devices": names,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "machine": platform.machine(),
    }


def _challenge(gpus: int) -> dict[str, Any]:
    """Whether the chains come to the same, and how long a step of a real challenge takes."""
    from dlperf.challenge.prove import Session, devices  # noqa: PLC0415  # needs torch

    nonce, tag = secrets.token_bytes(16), secrets.token_bytes(16)
    found = Session(COMPARED, devices("cuda", gpus)).commit(nonce, tag)
    expected = Session(COMPARED, devices("cpu", gpus)).commit(nonce, tag)
    times = []
    for steps in (1, TIMED.steps):
        session = Session(replace(TIMED, steps=steps), devices("cuda", gpus))
        began = time.perf_counter()
        session.commit(nonce, tag)
        times.append(time.perf_counter() - began)
    return {
        "passed": found == expected,
        "step_seconds": round((times[1] - times[0]) / (TIMED.steps - 1), 4),
        "fill_and_two_steps_seconds": round(times[0], 3),
    }


def _paths(gpus: int) -> dict[str, Any]:
    """Whether each path's products are the CPU's, entry for entry, and which way 8-bit products go."""
    from dlperf.challenge.prove import Prover, devices  # noqa: PLC0415  # needs torch

    nonce, told = secrets.token_bytes(16), {}
    for gpu, device in enumerate(devices("cuda", gpus)):
        ours, theirs = (Prover(replace(COMPARED, steps=1), gpu, place) for place in ("cpu", device))
        for prover in (ours, theirs):
            prover.run(nonce, b"")
        state = ours.state_before(0)
        for kind in Kind:
            pair = [prover.products(draw(COMPARED, state, kind)).cpu() for prover in (ours, theirs)]
            told[f"{device} {kind.name.lower()}"] = bool((pair[0] == pair[1]).all())
        told[f"{device} memory"] = bool((ours.buffer == theirs.buffer.cpu()).all())
    return {"passed": all(told.values()), **told}


def _workload() -> dict[str, Any]:
    words = [sys.executable, "-m", "dlperf.workload", "--mode", "full", "--device", "cuda", "--seconds", "120"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        return {"passed": False, "error": ran.stderr[-2000:]}
    result = json.loads(ran.stdout)
    skipped = sorted({f"{name}: {why}" for device in result["devices"] for name, why in _missing(device).items()})
    medians = [{name: one["median"] for name, one in device["metrics"].items()} for device in result["devices"]]
    return {"passed": not skipped, "seconds": result["seconds"], "skipped": skipped, "metrics": medians}


def _missing(device: dict[str, Any]) -> dict[str, str]:
    """What was skipped though this GPU can do it."""
    has = tuple(int(number) for number in device["compute_capability"].split("."))
    return {name: why for name, why in device["skipped"].items() if has >= SINCE_CAPABILITY.get(name, (0, 0))}


if __name__ == "__main__":
    sys.exit(main())
