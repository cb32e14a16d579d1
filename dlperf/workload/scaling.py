"""Training on several GPUs at once: one process for each, their gradients summed after every step."""

import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from dlperf.workload import models
from dlperf.workload.devices import Device, Sizes, image_batch
from dlperf.workload.timing import LEAST_SAMPLES, PICO, Measured
from dlperf.workload.training import CLASSES, Job, image_training

LEAST_BATCH = 2
"""Of one image there are no statistics to normalise by."""
LONE_STEPS = 5
MOST_STEPS = 200
START_SECONDS = 25.0
"""What processes take to start, at most; the rest of the time is for steps."""


class ScalingError(Exception):
    """The processes did not come to a result."""


def measure_scaling(devices: list[Device], sizes: Sizes, seconds: float) -> dict[str, Any]:
    """Images a second on all devices together, and how that compares with one alone. Raises ScalingError."""
    with tempfile.TemporaryDirectory(prefix="dlperf-") as folder:
        arguments = (folder, [asdict(device) for device in devices], asdict(sizes), seconds)
        context = multiprocessing.spawn(worker, args=arguments, nprocs=len(devices), join=False)
        _wait(context, time.monotonic() + seconds)
        found = json.loads((Path(folder) / "result.json").read_text())
    return {"gpus": len(devices), **found}


def worker(rank: int, folder: str, devices: list[dict[str, Any]], sizes: dict[str, Any], seconds: float) -> None:
    """One of the processes. The first measures alone, then all together, and writes what came of it."""
    sys.stdout = sys.stderr
    device = Device(**devices[rank] | {"capability": tuple(devices[rank]["capability"])})
    if device.kind == "cuda":
        torch.cuda.set_device(device.index)
    else:
        torch.set_num_threads(1)
    distributed.init_process_group(
        "nccl" if device.kind == "cuda" else "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=len(devices),
    )
    try:
        rates, alone = _together(rank, device, Sizes(**sizes), max(seconds - START_SECONDS, 1.0) / 2)
    finally:
        distributed.destroy_process_group()
    if rank == 0:
        _write(Path(folder) / "result.json", rates, alone * len(devices))


def _together(rank: int, device: Device, sizes: Sizes, seconds: float) -> tuple[Measured, float]:
    models.fixed_seed()
    batch = max(LEAST_BATCH, image_batch(device, sizes, "mixed") // 2)
    model = models.resnet50(CLASSES).to(device.torch_name).to(memory_format=torch.channels_last)
    alone = torch.zeros(1, dtype=torch.float64, device=device.torch_name)
    if rank == 0:
        lone = LONE_STEPS if sizes.takes_time else 1
        alone += _rate(device, image_training(device, sizes, model, "mixed", batch), lone, 1)
    distributed.broadcast(alone, 0)
    shared = DistributedDataParallel(model, device_ids=[device.index] if device.kind == "cuda" else None)
    job = image_training(device, sizes, shared, "mixed", batch)
    # Every process takes the same number of steps, or one would wait for the others for ever.
    most = MOST_STEPS if sizes.takes_time else 1
    steps = max(1, min(most, int(seconds * alone.item() / batch / (LEAST_SAMPLES + 1))))
    count = distributed.get_world_size()
    _rate(device, job, steps, count)
    rates = tuple(_rate(device, job, steps, count) for _ in range(LEAST_SAMPLES))
    return Measured(rates), float(alone.item())


def _rate(device: Device, job: Job, steps: int, count: int) -> float:
    """Images a second of ``count`` devices that work alike, after one step that does not count."""
    job.step()
    device.settle()
    begun = time.perf_counter()
    for _ in range(steps):
        job.step()
    device.settle()
    return count * job.items * steps / max(time.perf_counter() - begun, PICO)


def _write(file: Path, rates: Measured, alone: float) -> None:
    file.write_text(json.dumps({"images_per_s": rates.as_json(), "efficiency": round(rates.median / alone, 4)}))


def _wait(context: Any, deadline: float) -> None:
    """Until all processes have ended. Raises ScalingError, with all of them dead, if one fails or the time is up."""
    try:
        while not context.join(timeout=1.0):
            if time.monotonic() > deadline:
                raise ScalingError("Training on all GPUs at once took too long.")
    except (multiprocessing.ProcessRaisedException, multiprocessing.ProcessExitedException) as error:
        raise ScalingError(f"Training on all GPUs at once failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
            process.join()
