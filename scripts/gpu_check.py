"""Runs the benchmark program and a challenge on this machine's CUDA devices, and compares with the CPU's answer.

    python3 -m scripts.gpu_check        needs torch alone; says so where there is no CUDA device

The comparison is bit for bit: float16, 8-bit and float32 products of the GPUs must be the CPU's.
"""

import json
import platform
import secrets
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dlperf.challenge.plan import Plan

ROOT = Path(__file__).resolve().parent.parent
COMPARED = Plan(width=1024, depth=2048, steps=4, passes=6, buffer_rows=65_536)
"""Small enough for a CPU."""
FULL = Plan(width=8192, depth=2048, steps=4, passes=24, buffer_rows=1_000_000)
"""A part of a real one, to see its speed; it fills 2 GB."""


def main() -> int:
    """0 when all is equal, or there is no CUDA device; 1 otherwise."""
    try:
        import torch  # noqa: PLC0415  # it is no requirement of the marketplace
    except ImportError:
        print("torch is not installed: nothing was checked.")
        return 0
    if not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was checked.")
        return 0
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    print(f"{datetime.now(UTC):%Y-%m-%d}: {len(names)}x {names[0]}, torch {torch.__version__}, {platform.machine()}")
    return 0 if _challenge(len(names)) and _workload() else 1


def _challenge(gpus: int) -> bool:
    from dlperf.challenge.prove import devices, prove  # noqa: PLC0415  # needs torch

    nonce = secrets.token_bytes(16)
    found = prove(COMPARED, nonce, devices("cuda", gpus))
    expected = prove(COMPARED, nonce, devices("cpu", gpus))
    found.pop("device")
    expected.pop("device")
    equal = found == expected
    print(f"challenge, {sum(COMPARED.operations.values()):.3g} operations a GPU: {'equal' if equal else 'DIFFERENT'}")
    times = []
    for steps in (1, FULL.steps):
        began = time.perf_counter()
        prove(replace(FULL, steps=steps), nonce, devices("cuda", gpus))
        times.append(time.perf_counter() - began)
    print(f"a step of a real challenge: {(times[1] - times[0]) / (FULL.steps - 1):.3f} s")
    return equal


def _workload() -> bool:
    words = [sys.executable, "-m", "dlperf.workload", "--mode", "small", "--device", "cuda", "--seconds", "60"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        print(f"benchmark: failed\n{ran.stderr[-2000:]}")
        return False
    result = json.loads(ran.stdout)
    print(f"benchmark: {len(result['devices'])} devices in {result['seconds']:.0f} s")
    return True


if __name__ == "__main__":
    sys.exit(main())
