"""The DLPerf score: what a GPU is worth for deep learning, on a scale where a GTX 1080 Ti is 10.

Version 1 of the formula. A measured GPU is scored from its training throughput on ResNet-50, in images per second,
relative to the GTX 1080 Ti; single precision weighs nine times as much as mixed precision, which puts the V100 at 20.4.
A GPU without measurements is estimated from its specifications by a log-linear fit over the measured ones (median
error 4%, largest 16%); estimates are marked as such wherever they are shown.
"""

from dataclasses import dataclass

FORMULA_VERSION = 1
REFERENCE_FP32_IMAGES_PER_S = 196.2
REFERENCE_MIXED_IMAGES_PER_S = 242.0
REFERENCE_SCORE = 10.0
FP32_WEIGHT = 0.9
MIXED_WEIGHT = 0.1

ESTIMATE_FACTOR = 0.02958
ESTIMATE_FP32_EXPONENT = 0.24487
ESTIMATE_BANDWIDTH_EXPONENT = 0.86995


@dataclass(frozen=True)
class Score:
    """A DLPerf value and whether it was only estimated from specifications."""

    value: float
    is_estimate: bool


def measured(fp32_images_per_s: float, mixed_images_per_s: float) -> Score:
    """The score of ResNet-50 training throughputs. Raises ValueError unless both are positive."""
    if fp32_images_per_s <= 0 or mixed_images_per_s <= 0:
        raise ValueError("throughputs must be positive")
    ratio = (
        FP32_WEIGHT * fp32_images_per_s / REFERENCE_FP32_IMAGES_PER_S
        + MIXED_WEIGHT * mixed_images_per_s / REFERENCE_MIXED_IMAGES_PER_S
    )
    return Score(round(REFERENCE_SCORE * ratio, 1), is_estimate=False)


def estimated(fp32_tflops: float, memory_bandwidth_gbps: float) -> Score:
    """The score that the specifications suggest; 0 where they are unknown."""
    if fp32_tflops <= 0 or memory_bandwidth_gbps <= 0:
        return Score(0.0, is_estimate=True)
    value = ESTIMATE_FACTOR * fp32_tflops**ESTIMATE_FP32_EXPONENT * memory_bandwidth_gbps**ESTIMATE_BANDWIDTH_EXPONENT
    return Score(round(value, 1), is_estimate=True)
