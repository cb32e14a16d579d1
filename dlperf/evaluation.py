"""How good the learned model is, on the GPUs of the catalogue."""

from dataclasses import dataclass

from dlperf.catalogue import GpuModel, gpu_models
from dlperf.domain.fitting import (
    MEASURES,
    RIDGE,
    Example,
    FeaturesOf,
    baseline_features,
    errors,
    held_out_predictions,
    learned_features,
    median_and_largest,
)

LEFT_OUT = {"B200": "its published specifications count one of its two dies"}
"""Measured GPUs that the model is not fit on, and why."""


MedianAndLargest = tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """How far off predictions of GPUs are that were not in the fit, by measure: median and largest error."""

    title: str
    alone: dict[str, MedianAndLargest]
    """Without the GPU itself."""
    chip: dict[str, MedianAndLargest]
    """Without any GPU of its chip."""
    by_gpu: dict[str, dict[str, float]]
    """By measure and GPU, without itself; positive where the prediction is too high."""


def examples() -> list[Example]:
    """The GPUs with published throughputs that the model is fit on."""
    return [example for model in gpu_models().values() if (example := _example(model)) is not None]


def _example(model: GpuModel) -> Example | None:
    fp32, mixed = model.resnet50_fp32_images_per_s, model.resnet50_mixed_images_per_s
    if fp32 is None or mixed is None or model.name in LEFT_OUT:
        return None
    return Example(model.name, model.chip, model.hardware, {"fp32": fp32, "mixed": mixed})


def evaluate(title: str, features_of: FeaturesOf, ridge: float) -> Evaluation:
    """Fit as often as there are GPUs, each time without one, and again without its chip."""
    known = examples()
    alone = held_out_predictions(known, features_of, ridge=ridge)
    chip = held_out_predictions(known, features_of, ridge=ridge, group=lambda example: example.chip)
    by_gpu = {name: errors(known, alone, measure) for name, measure in MEASURES.items()}
    return Evaluation(
        title,
        {name: median_and_largest(found) for name, found in by_gpu.items()},
        {name: median_and_largest(errors(known, chip, measure)) for name, measure in MEASURES.items()},
        by_gpu,
    )


def evaluations() -> tuple[Evaluation, Evaluation]:
    """Of the learned model, and of what it has to beat."""
    return (
        evaluate("learned model", learned_features, RIDGE),
        evaluate("log-linear in FP32 TFLOPS and bandwidth", baseline_features, 0.0),
    )
