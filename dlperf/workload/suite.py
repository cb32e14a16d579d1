"""What is measured on a device, in which order, and how much of the time each measurement gets."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from dlperf.workload import micro, training
from dlperf.workload.devices import Device, Sizes, single_precision
from dlperf.workload.micro import GIGA, UnsupportedError
from dlperf.workload.timing import Budget, Measured, Timer, TimeUpError
from dlperf.workload.training import Job

log = logging.getLogger("dlperf")
TERA = 10**12
MEMORY_SHORT = "The memory is too small."
MOST_REASON = 300


@dataclass(frozen=True)
class Benchmark:
    """One measurement: its name in the result, its weight in sharing the time, the work, the unit of its rate."""

    metric: str
    weight: float
    job: Callable[[Device, Sizes], Job]
    unit: float = 1.0


# The most telling first: a run that is short of time ends without the last.
FULL_SUITE = (
    Benchmark("resnet50_train_fp32_images_per_s", 5, partial(training.resnet_training, precision="fp32")),
    Benchmark("resnet50_train_mixed_images_per_s", 5, partial(training.resnet_training, precision="mixed")),
    Benchmark("gemm_fp16_tflops", 1, partial(micro.gemm, precision="fp16"), TERA),
    Benchmark("memory_bandwidth_gbps", 1, micro.memory_copy, GIGA),
    Benchmark("gemm_fp32_tflops", 1, partial(micro.gemm, precision="fp32"), TERA),
    Benchmark("gemm_tf32_tflops", 1, partial(micro.gemm, precision="tf32"), TERA),
    Benchmark("gemm_bf16_tflops", 1, partial(micro.gemm, precision="bf16"), TERA),
    Benchmark("gemm_int8_tops", 1, partial(micro.gemm, precision="int8"), TERA),
    Benchmark("resnet50_infer_fp16_images_per_s", 2, partial(training.resnet_inference, half=True)),
    Benchmark("resnet50_infer_fp32_images_per_s", 2, partial(training.resnet_inference, half=False)),
    Benchmark("transformer_train_fp32_tokens_per_s", 2, partial(training.transformer_training, precision="fp32")),
    Benchmark("transformer_train_mixed_tokens_per_s", 2, partial(training.transformer_training, precision="mixed")),
    Benchmark("transformer_infer_fp16_tokens_per_s", 2, training.transformer_inference),
    Benchmark("lstm_train_fp32_steps_per_s", 2, partial(training.lstm_training, precision="fp32")),
    Benchmark("lstm_train_mixed_steps_per_s", 2, partial(training.lstm_training, precision="mixed")),
    Benchmark("pcie_to_device_gbps", 1, partial(micro.bus_copy, to_device=True), GIGA),
    Benchmark("pcie_from_device_gbps", 1, partial(micro.bus_copy, to_device=False), GIGA),
)
SHORT_METRICS = frozenset(
    {
        "resnet50_train_fp32_images_per_s",
        "resnet50_train_mixed_images_per_s",
        "gemm_fp16_tflops",
        "memory_bandwidth_gbps",
        "pcie_to_device_gbps",
    }
)
"""What tells a bad GPU from its sisters."""
SHORT_SUITE = tuple(test for test in FULL_SUITE if test.metric in SHORT_METRICS)


@dataclass
class Findings:
    """What was measured and what was not, with the reasons."""

    metrics: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run_suite(device: Device, sizes: Sizes, suite: tuple[Benchmark, ...], budget: Budget, seconds: float) -> Findings:
    """Measure one after the other within ``seconds`` of the budget; what fails is skipped with its reason."""
    part = Budget(min(seconds, max(budget.left(), 0.0)), budget.clock)
    found = Findings()
    for number, test in enumerate(suite):
        weights_after = sum(later.weight for later in suite[number + 1 :])
        try:
            rate = measure(device, sizes, test, part.share(test.weight, weights_after))
        except (UnsupportedError, TimeUpError) as reason:
            found.skipped[test.metric] = str(reason)
        except torch.cuda.OutOfMemoryError:
            found.skipped[test.metric] = MEMORY_SHORT
        except RuntimeError as error:
            found.skipped[test.metric] = first_line(error)
        else:
            found.metrics[test.metric] = rate.as_json()
        device.release()
        log.info("%s %s: %s", device.torch_name, test.metric, _told(found, test.metric))
    return found


def measure(device: Device, sizes: Sizes, test: Benchmark, seconds: float) -> Measured:
    """The rate of one test, in its unit."""
    with single_precision(tf32=device.has_tf32):
        job = test.job(device, sizes)
        timer = Timer(device.settle, sizes.sample_seconds)
        return timer.rate(job.step, items=job.items / test.unit, seconds=seconds if sizes.takes_time else 0.0)


def first_line(error: Exception) -> str:
    """An error's first line, not longer than a result takes."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:MOST_REASON]


def _told(found: Findings, metric: str) -> str:
    if metric in found.skipped:
        return f"skipped: {found.skipped[metric]}"
    return f"{found.metrics[metric]['median']:g}"
