"""A small model that predicts ResNet-50's training throughput on GPUs where nobody has measured it.

The logarithm of images a second is a linear function of the logarithms of three rates: memory bandwidth,
multiprocessors times clock, and dense products in the precision (TF32 where the GPU has it). One set of weights for
each of the two workloads is fit by ridge regression over the GPUs with published throughputs (``dlperf/fit.py``), so a
prediction for hardware between the known ones is a weighted power law between them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dlperf.domain.hardware import Hardware, Precision
from dlperf.domain.mixes import BALANCED, Mix

Workload = Literal["fp32", "mixed"]
WORKLOADS: tuple[Workload, ...] = ("fp32", "mixed")
PRECISION_OF: dict[Workload, Precision] = {"fp32": "fp32", "mixed": "fp16"}


@dataclass(frozen=True)
class ErrorRange:
    """How far off predictions were of GPUs that were left out of the fit, as parts of what was predicted."""

    median: float
    largest: float


@dataclass(frozen=True)
class LearnedModel:
    """Weights of each workload: a constant first, then those of ``features``."""

    weights: Mapping[Workload, Sequence[float]]
    errors: Mapping[str, ErrorRange]
    """Of scores that are "balanced", and of those of each workload alone."""

    def images_per_s(self, workload: Workload, hardware: Hardware) -> float:
        """ResNet-50 training throughput that the hardware suggests."""
        return self.throughput(workload, hardware, PRECISION_OF[workload])

    def throughput(self, workload: Workload, hardware: Hardware, precision: Precision) -> float:
        """The same with the rate of products of another precision: for work that nobody has published figures of."""
        return math.exp(dot(self.weights[workload], features(hardware, precision)))

    def error_of(self, mix: Mix) -> ErrorRange | None:
        """How far off scores in a mix are; None where nothing is known about it, because 8-bit work is part of it.

        Of a mix that was not judged as a whole it is the error of its worst part.
        """
        if mix == BALANCED:
            return self.errors["balanced"]
        if mix.int8:
            return None
        parts = [self.errors["fp32" if name == "fp32" else "mixed"] for name, _ in mix.weights()]
        return ErrorRange(max(part.median for part in parts), max(part.largest for part in parts))


def features(hardware: Hardware, precision: Precision) -> tuple[float, ...]:
    """What the model knows about a GPU; the first is the constant."""
    return (
        1.0,
        math.log(hardware.memory_bandwidth_gbps),
        math.log(hardware.multiprocessor_rate),
        math.log(hardware.product_tera_ops(precision)),
    )


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    """The inner product."""
    return sum(a * b for a, b in zip(left, right, strict=True))
