"""Fitting the learned model, and how far off it is on GPUs that it has not seen."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlperf.domain.hardware import Hardware
from dlperf.domain.learned import PRECISION_OF, WORKLOADS, Workload, dot, features
from dlperf.domain.score import balanced_value

RIDGE = 0.1
"""Penalty on the square of the weights (not the constant's): 26 GPUs can't tell their rates fully apart."""

Row = Sequence[float]
Throughputs = Mapping[Workload, float]
Measure = Callable[[Throughputs], float]
FeaturesOf = Callable[[Hardware, Workload], Row]


MEASURES: dict[str, Measure] = {
    "balanced": lambda images_per_s: balanced_value(images_per_s["fp32"], images_per_s["mixed"]),
    "fp32": lambda images_per_s: images_per_s["fp32"],
    "mixed": lambda images_per_s: images_per_s["mixed"],
}
"""What a prediction can be judged by: DLPerf, or one of the throughputs."""


@dataclass(frozen=True)
class Example:
    """A GPU whose throughputs are known, in images per second."""

    name: str
    chip: str
    """GPUs of one chip are much alike: leaving out one of them alone is an easy test."""
    hardware: Hardware
    images_per_s: Throughputs


def learned_features(hardware: Hardware, workload: Workload) -> Row:
    """What the learned model looks at."""
    return features(hardware, PRECISION_OF[workload])


def baseline_features(hardware: Hardware, workload: Workload) -> Row:  # noqa: ARG001  # the same for both
    """What the log-linear fit looks at that the model has to beat: single-precision TFLOPS and bandwidth."""
    return (1.0, math.log(hardware.fp32_tflops), math.log(hardware.memory_bandwidth_gbps))


def fit(examples: Sequence[Example], features_of: FeaturesOf, ridge: float = RIDGE) -> dict[Workload, list[float]]:
    """Weights that predict the logarithms of throughputs with the least squares plus ``ridge`` times their squares."""
    return {
        workload: ridge_regression(
            [features_of(example.hardware, workload) for example in examples],
            [math.log(example.images_per_s[workload]) for example in examples],
            ridge,
        )
        for workload in WORKLOADS
    }


def ridge_regression(rows: Sequence[Row], targets: Row, ridge: float) -> list[float]:
    """The weights w that minimise |rows w - targets|^2 + ridge |w|^2, the first of which is not penalised."""
    width = range(len(rows[0]))
    matrix = [[sum(row[i] * row[j] for row in rows) + (ridge if i == j and i else 0.0) for j in width] for i in width]
    return _solve(matrix, [sum(row[i] * target for row, target in zip(rows, targets, strict=True)) for i in width])


def held_out_predictions(
    examples: Sequence[Example],
    features_of: FeaturesOf,
    *,
    ridge: float = RIDGE,
    group: Callable[[Example], str] = lambda example: example.name,
) -> dict[str, Throughputs]:
    """By GPU, what is predicted when neither it nor any of its group was in the fit, in images per second."""
    found: dict[str, Throughputs] = {}
    for example in examples:
        others = [other for other in examples if group(other) != group(example)]
        weights = fit(others, features_of, ridge)
        found[example.name] = {
            workload: math.exp(dot(weights[workload], features_of(example.hardware, workload)))
            for workload in WORKLOADS
        }
    return found


def errors(examples: Sequence[Example], predictions: Mapping[str, Throughputs], measure: Measure) -> dict[str, float]:
    """By GPU, the part by which the prediction's measure is off; positive where it is too high."""
    return {
        example.name: measure(predictions[example.name]) / measure(example.images_per_s) - 1 for example in examples
    }


def median_and_largest(found: Mapping[str, float]) -> tuple[float, float]:
    """Of the sizes of the errors."""
    sizes = [abs(error) for error in found.values()]
    return statistics.median(sizes), max(sizes)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination with pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        pivot = max(range(column, len(rows)), key=lambda number: abs(rows[number][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for number, row in enumerate(rows):
            if number != column:
                factor = row[column] / rows[column][column]
                rows[number] = [value - factor * of for value, of in zip(row, rows[column], strict=True)]
    return [row[-1] / row[number] for number, row in enumerate(rows)]
