"""The DLPerf score: what a GPU is worth for deep learning, on a scale where a GTX 1080 Ti is 10.

Version 2 of the formula. Each precision has a score of its own, a throughput relative to the GTX 1080 Ti's:

- fp32: training ResNet-50 in single precision as frameworks do it, that is with TF32 where the GPU has it;
- fp16: training it in mixed precision;
- bf16: as fp16 where the GPU has bfloat16; elsewhere the work runs in single precision;
- int8: nobody publishes comparable figures. The learned model is asked what mixed-precision training would reach if its
  products ran at the GPU's 8-bit rate, so these scores are always estimates, and were checked against nothing.

DLPerf as such is the balanced mix, 0.9 fp32 + 0.1 fp16, which puts the V100 at 20.4 (``dlperf/domain/mixes.py`` has the
others). The sources of published throughputs are in the catalogue. Version 1 had the balanced mix alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from dlperf.domain.hardware import BF16_CAPABILITY, Hardware, hardware_of
from dlperf.domain.learned import LearnedModel
from dlperf.domain.mixes import BALANCED, Mix
from dlperf.domain.result import BenchmarkResult, DeviceMetric, DeviceResult

FORMULA_VERSION = 2
REFERENCE_FP32_IMAGES_PER_S = 196.2
REFERENCE_MIXED_IMAGES_PER_S = 242.0
REFERENCE_SCORE = 10.0
REFERENCE = hardware_of(fp32_tflops=11.34, memory_bandwidth_gbps=484.4, compute_capability="6.1")
"""The GTX 1080 Ti."""


MEASURED, PUBLISHED, PREDICTED = "measured", "published", "predicted"
"""Where the scores of a machine come from: a run on it, published figures of the GPU's model, or the learned model."""


@dataclass(frozen=True)
class Score:
    """A DLPerf value, and whether it was only predicted rather than measured."""

    value: float
    is_estimate: bool


@dataclass(frozen=True)
class Scores:
    """A GPU's score in each precision, rounded."""

    fp32: Score
    fp16: Score
    bf16: Score
    int8: Score
    balanced: Score
    """DLPerf as it is shown where nothing else is asked for."""

    def mixed(self, mix: Mix) -> Score:
        """The score that a mix of precisions gives; an estimate if a part of it is."""
        parts = [(weight, getattr(self, name)) for name, weight in mix.weights()]
        value = sum(weight * score.value for weight, score in parts)
        return Score(_rounded(value), any(score.is_estimate for _, score in parts))


def measured(fp32_images_per_s: float, mixed_images_per_s: float) -> Score:
    """The balanced score of ResNet-50 training throughputs. Raises ValueError unless both are positive."""
    if fp32_images_per_s <= 0 or mixed_images_per_s <= 0:
        raise ValueError("throughputs must be positive")
    return Score(_rounded(balanced_value(fp32_images_per_s, mixed_images_per_s)), is_estimate=False)


def balanced_value(fp32_images_per_s: float, mixed_images_per_s: float) -> float:
    """The balanced score, not rounded."""
    fp32, fp16 = _fp32_value(fp32_images_per_s), _fp16_value(mixed_images_per_s)
    return BALANCED.fp32 * fp32 + BALANCED.fp16 * fp16


def scores(
    hardware: Hardware,
    model: LearnedModel,
    *,
    fp32_images_per_s: float | None = None,
    mixed_images_per_s: float | None = None,
) -> Scores:
    """Scores from throughputs where they are known (positive, images per second), else predicted; 0 for the unknown."""
    if not hardware.is_known:
        nothing = Score(0.0, is_estimate=True)
        return Scores(nothing, nothing, nothing, nothing, nothing)
    single = fp32_images_per_s or model.images_per_s("fp32", hardware)
    half = mixed_images_per_s or model.images_per_s("mixed", hardware)
    fp32 = Score(_rounded(_fp32_value(single)), is_estimate=not fp32_images_per_s)
    fp16 = Score(_rounded(_fp16_value(half)), is_estimate=not mixed_images_per_s)
    return Scores(
        fp32=fp32,
        fp16=fp16,
        bf16=_bf16(hardware, half, fp32, is_estimate=fp16.is_estimate),
        int8=Score(_rounded(_int8_value(hardware, model)), is_estimate=True),
        balanced=Score(_rounded(balanced_value(single, half)), is_estimate=fp32.is_estimate or fp16.is_estimate),
    )


def scores_of_result(result: BenchmarkResult, hardware: Hardware, model: LearnedModel) -> Scores | None:
    """Scores of one GPU of a machine, the worst, from what the benchmark measured there.

    ``hardware`` is what the GPU's specifications say. A throughput that a GPU did not get to is predicted from the
    products and copies that it did; the machine's score is an estimate then, because that GPU may be the worst. None
    where a GPU has no figure at all, or nothing to predict from: nothing is known of it. Whether the result speaks of
    GPUs, ``is_comparable`` tells.
    """
    found = [_scores_of_device(result, device, hardware, model) for device in result.devices]
    known = [scores for scores in found if scores is not None]
    return _worst(known) if len(known) == len(found) else None


def _scores_of_device(
    result: BenchmarkResult, device: DeviceResult, hardware: Hardware, model: LearnedModel
) -> Scores | None:
    found = hardware.as_measured(
        bandwidth_gbps=_rate(result, device, "memory_bandwidth_gbps"),
        fp32_tflops=_rate(result, device, "gemm_fp32_tflops"),
        fp16_tflops=_rate(result, device, "gemm_fp16_tflops"),
        int8_tera_ops=_rate(result, device, "gemm_int8_tops"),
    )
    if not device.metrics or not found.is_known:
        return None
    return scores(
        found,
        model,
        fp32_images_per_s=device.value("resnet50_train_fp32_images_per_s"),
        mixed_images_per_s=device.value("resnet50_train_mixed_images_per_s"),
    )


def _rate(result: BenchmarkResult, device: DeviceResult, metric: DeviceMetric) -> float | None:
    """The device's own. Most are measured on the first GPU alone: where this one was not asked, it is the others'."""
    own = device.value(metric)
    return own if own is not None or metric in device.skipped else result.value(metric)


def _worst(found: Sequence[Scores]) -> Scores:
    """In each precision the least of all GPUs; an estimate if that of any is: which is the worst is one then."""
    least = {}
    for name in (field.name for field in fields(Scores)):
        each: list[Score] = [getattr(one, name) for one in found]
        least[name] = Score(min(one.value for one in each), any(one.is_estimate for one in each))
    return Scores(**least)


def is_comparable(result: BenchmarkResult) -> bool:
    """Whether scores of the result may stand beside those of others: a full run, on GPUs."""
    return result.mode == "full" and result.device == "cuda"


def _fp32_value(images_per_s: float) -> float:
    return REFERENCE_SCORE * images_per_s / REFERENCE_FP32_IMAGES_PER_S


def _fp16_value(images_per_s: float) -> float:
    return REFERENCE_SCORE * images_per_s / REFERENCE_MIXED_IMAGES_PER_S


def _bf16(hardware: Hardware, mixed_images_per_s: float, fp32: Score, *, is_estimate: bool) -> Score:
    if hardware.capability < BF16_CAPABILITY:
        return fp32
    # The GTX 1080 Ti has no bfloat16 either: what it reaches is its single precision.
    return Score(_rounded(_fp32_value(mixed_images_per_s)), is_estimate=is_estimate)


def _int8_value(hardware: Hardware, model: LearnedModel) -> float:
    return REFERENCE_SCORE * model.throughput("mixed", hardware, "int8") / model.throughput("mixed", REFERENCE, "int8")


def _rounded(value: float) -> float:
    """To a tenth; finer where a tenth would say nothing."""
    return round(value, 1) if value >= 1 else round(value, 4)
