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
FeaturesOf = Callable[[Hardware, Workload], Row]


@dataclass(frozen=True)
class Example:
    """A GPU whose throughputs are known, in images per second."""

    name: str
    chip: str
    """GPUs of one chip are much alike: leaving out one of them alone is an easy test."""
    hardware: Hardware
    images_per_s: Mapping[Workload, float]

    def score(self) -> float:
        """DLPerf by the formula, without rounding."""
        return balanced_value(self.images_per_s["fp32"], self.images_per_s["mixed"])


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


def held_out_errors(
    examples: Sequence[Example],
    features_of: FeaturesOf,
    *,
    ridge: float = RIDGE,
    group: Callable[[Example], str] = lambda example: example.name,
) -> dict[str, float]:
    """By GPU, the part by which its score is off when neither it nor any of its group was in the fit."""
    found = {}
    for example in examples:
        others = [other for other in examples if group(other) != group(example)]
        weights = fit(others, features_of, ridge)
        guesses = [math.exp(dot(weights[workload], features_of(example.hardware, workload))) for workload in WORKLOADS]
        found[example.name] = balanced_value(*guesses) / example.score() - 1
    return found


def median_and_largest(errors: Mapping[str, float]) -> tuple[float, float]:
    """Of the sizes of the errors."""
    sizes = [abs(error) for error in errors.values()]
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
