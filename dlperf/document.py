"""``docs/dlperf.md``: the formula, published throughputs against scores, and how good predictions are."""

from collections.abc import Iterable, Iterator

from dlperf.catalogue import GpuModel, gpu_models
from dlperf.domain.fitting import RIDGE
from dlperf.domain.mixes import IMAGES, Mix
from dlperf.domain.score import FORMULA_VERSION, REFERENCE_FP32_IMAGES_PER_S, REFERENCE_MIXED_IMAGES_PER_S
from dlperf.evaluation import LEFT_OUT, Evaluation

_INTRODUCTION = f"""# DLPerf

This page is written by `python -m dlperf.fit`, which fits the learned model and evaluates it; a test holds it true.

DLPerf says how fast a GPU trains ResNet-50, relative to a GTX 1080 Ti, which scores 10. Version {FORMULA_VERSION}
of the formula (`dlperf/domain/score.py`):

    DLPerf = 0.9 x fp32 + 0.1 x fp16
    fp32 = 10 x (images/s in single precision, TF32 included) / {REFERENCE_FP32_IMAGES_PER_S}
    fp16 = 10 x (images/s in mixed precision) / {REFERENCE_MIXED_IMAGES_PER_S}

`bf16` is what mixed precision reaches where the GPU has bfloat16 and single precision elsewhere, relative to the GTX
1080 Ti, which has none. For `int8` there are no comparable published figures: it is what the learned model says
mixed-precision training would reach if products ran at the GPU's 8-bit rate. It is always an estimate, and has been
checked against nothing.

A search can ask for one precision, or for the mix of an image. The mixes are a convention:

| image | mix |
|---|---|
"""

_TABLE = """
## Every GPU of the catalogue

Throughputs are published ones, in images per second; `v0` and `v1` are two versions of the benchmark that they are of.
GPUs that have both were from 9% slower to 25% faster with `v1`, mostly faster; so scores of GPUs that only have `v1`
figures are a little too high beside the others. Where there are no figures the scores are predicted and marked `~`.

| GPU | published fp32 | published mixed | source | DLPerf | fp32 | fp16 | bf16 | int8 |
|---|---|---|---|---|---|---|---|---|
"""

_LEARNED = f"""
## Predictions where nobody has measured

The logarithm of images per second is linear in the logarithms of memory bandwidth, of multiprocessors x clock, and of
the rate of dense products in the precision (TF32 where the GPU has it). Weights are fit by ridge regression (penalty
{RIDGE}) over the GPUs with published throughputs, one set for each precision (`dlperf/domain/learned.py`,
`dlperf/learned_model.json`). On a machine that ran the benchmark, measured products and copies take the place of the
specifications.

How far off predictions are of a GPU that was left out of the fit, and when every GPU of its chip was; "balanced" is
DLPerf:

| model | of | median | largest | chip left out: median | largest |
|---|---|---|---|---|---|
"""

_HONEST = """
The rates and the penalty were chosen with these GPUs in view, so expect a little worse of a new one, and worse again
of a new generation.
"""


def document(learned: Evaluation, baseline: Evaluation) -> str:
    """The whole page."""
    left_out = "".join(f"{name} is not part of the fit: {why}.\n" for name, why in LEFT_OUT.items())
    return "".join(
        [
            _INTRODUCTION,
            _lines(f"| {image.title} | {_mix(image.mix)} |" for image in IMAGES.values()),
            _TABLE,
            _lines(_row(model) for model in gpu_models().values()),
            _LEARNED,
            _lines(row for found in (learned, baseline) for row in _evaluation_rows(found)),
            _HONEST,
            left_out,
            "\n| GPU left out | DLPerf off by | fp32 | mixed |\n|---|---|---|---|\n",
            _lines(_error_row(name, learned) for name in learned.by_gpu["balanced"]),
        ]
    )


def evaluation_lines(*evaluations: Evaluation) -> Iterator[str]:
    """The evaluation as the command prints it."""
    for found in evaluations:
        for measure, (median, largest) in found.alone.items():
            chip_median, chip_largest = found.chip[measure]
            yield (
                f"{found.title}, {measure}: left out alone, median error {median:.1%}, largest {largest:.1%}; "
                f"with its chip, {chip_median:.1%} and {chip_largest:.1%}"
            )


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _mix(mix: Mix) -> str:
    return " + ".join(f"{weight:g} {name}" for name, weight in mix.weights())


def _row(model: GpuModel) -> str:
    scores = model.scores()
    published = (model.resnet50_fp32_images_per_s, model.resnet50_mixed_images_per_s)
    cells = [model.name, *("" if value is None else f"{value:g}" for value in published), model.source]
    columns = (scores.balanced, scores.fp32, scores.fp16, scores.bf16, scores.int8)
    cells += [f"{'~' if score.is_estimate else ''}{score.value:.1f}" for score in columns]
    return f"| {' | '.join(cells)} |"


def _evaluation_rows(found: Evaluation) -> Iterator[str]:
    for measure, alone in found.alone.items():
        parts = " | ".join(f"{part:.1%}" for part in (*alone, *found.chip[measure]))
        yield f"| {found.title} | {measure} | {parts} |"


def _error_row(name: str, found: Evaluation) -> str:
    return f"| {name} | {' | '.join(f'{errors[name]:+.1%}' for errors in found.by_gpu.values())} |"
