"""The DLPerf formula against its anchors, the learned model against what it has to beat, the document against both."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf import fit
from dlperf.catalogue import MODEL_FILE, gpu_models, gpu_score, gpu_scores, hardware_known_as, learned_model
from dlperf.document import document
from dlperf.domain.fitting import MEASURES, baseline_features, held_out_predictions, learned_features, ridge_regression
from dlperf.domain.hardware import Hardware, hardware_of
from dlperf.domain.mixes import BALANCED, IMAGES, PRECISIONS, Adaptation, Mix, image_family
from dlperf.domain.result import decode_result
from dlperf.domain.score import REFERENCE, Score, is_comparable, measured, scores, scores_of_result
from dlperf.evaluation import Evaluation, evaluations, examples
from tests.dlperf.test_result import a_result, line
from tests.dlperf.test_result import measured as measurement

LOG_LINEAR_MEDIAN, LOG_LINEAR_LARGEST = 0.04, 0.29
"""What a fit on single-precision TFLOPS and bandwidth reaches, at least."""


@pytest.fixture(scope="module")
def evaluated() -> tuple[Evaluation, Evaluation]:
    return evaluations()


def score(name: str) -> Score:
    model = gpu_models()[name]
    return gpu_score(name, fp32_tflops=model.fp32_tflops, memory_bandwidth_gbps=model.memory_bandwidth_gbps)


@pytest.mark.parametrize(
    ("gpu", "value"),
    [
        ("GTX 1080 Ti", 10.0),
        ("RTX 2080 Ti", 14.8),
        ("Tesla V100 SXM2 32GB", 20.4),
        ("RTX 3090", 24.9),
        ("RTX 4090", 38.4),
        ("H100 SXM5", 98.5),
    ],
)
def test_measured_gpus_have_the_published_scores(gpu: str, value: float) -> None:
    assert (score(gpu).value, score(gpu).is_estimate) == (value, False)


def test_the_reference_is_ten_in_every_precision() -> None:
    known = gpu_models()["GTX 1080 Ti"]
    assert known.hardware == REFERENCE
    found = known.scores()
    assert [found.mixed(mix).value for mix in (BALANCED, *PRECISIONS.values())] == [10.0] * 5
    assert [found.fp32.is_estimate, found.fp16.is_estimate, found.bf16.is_estimate] == [False] * 3
    assert found.int8.is_estimate


def test_gpus_without_measurements_are_estimated_and_say_so() -> None:
    assert score("RTX 4080").is_estimate
    assert score("RTX 4080").value == pytest.approx(23.7, rel=0.05)
    assert gpu_score("Unheard Of", fp32_tflops=0, memory_bandwidth_gbps=0) == Score(0.0, is_estimate=True)


def test_a_gpu_that_is_not_in_the_catalogue_is_predicted_from_what_the_agent_tells() -> None:
    known = gpu_models()["RTX 4080"]
    found = gpu_scores(
        "RTX 4080 in disguise",
        fp32_tflops=known.fp32_tflops,
        memory_bandwidth_gbps=known.memory_bandwidth_gbps,
        compute_capability="8.9",
    )
    assert found == known.scores()


def test_the_catalogues_figures_count_before_those_that_a_host_tells() -> None:
    boasting = hardware_known_as("RTX 4080", fp32_tflops=1e4, memory_bandwidth_gbps=1e4, compute_capability="9.0")
    assert boasting == gpu_models()["RTX 4080"].hardware


def test_old_gpus_do_bfloat16_work_in_single_precision() -> None:
    volta, ampere = gpu_models()["Tesla V100 SXM2 32GB"].scores(), gpu_models()["RTX 3090"].scores()
    assert volta.bf16 == volta.fp32
    assert ampere.bf16.value == round(10 * 796.2 / 196.2, 1)


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_more_throughput_is_never_a_lower_score(fp32: float, mixed: float) -> None:
    assert measured(fp32 * 2, mixed).value >= measured(fp32, mixed).value
    assert measured(fp32, mixed * 2).value >= measured(fp32, mixed).value


@given(st.floats(1, 200), st.floats(100, 5000), st.sampled_from(["6.0", "6.1", "7.5", "8.0", "8.9", "9.0", "", "?"]))
def test_a_faster_gpu_is_never_predicted_slower(tflops: float, bandwidth: float, capability: str) -> None:
    slower = hardware_of(fp32_tflops=tflops, memory_bandwidth_gbps=bandwidth, compute_capability=capability)
    for faster in (
        hardware_of(fp32_tflops=tflops * 2, memory_bandwidth_gbps=bandwidth, compute_capability=capability),
        replace(slower, memory_bandwidth_gbps=bandwidth * 2),
        replace(slower, tensor_tflops=slower.tensor_tflops * 2),
    ):
        low, high = scores(slower, learned_model()), scores(faster, learned_model())
        for mix in (BALANCED, *PRECISIONS.values()):
            assert high.mixed(mix).value >= low.mixed(mix).value


def test_nonsense_throughput_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        measured(0, 1)


@given(st.sampled_from([BALANCED, *PRECISIONS.values(), *(image.mix for image in IMAGES.values())]))
def test_a_mix_is_a_weighted_mean(mix: Mix) -> None:
    assert math.isclose(sum(weight for _, weight in mix.weights()), 1)
    found = gpu_models()["RTX 3090"].scores()
    parts = [getattr(found, name) for name, _ in mix.weights()]
    assert min(part.value for part in parts) - 0.1 <= found.mixed(mix).value <= max(part.value for part in parts) + 0.1
    assert found.mixed(mix).is_estimate == any(part.is_estimate for part in parts)


@pytest.mark.parametrize(
    ("image", "family"),
    [
        ("pytorch/pytorch:2.9.0-cuda12.8-cudnn9-runtime", "pytorch"),
        ("nvcr.io/nvidia/TensorFlow:24.01", "tensorflow"),
        ("vllm/vllm-openai", "vllm"),
        ("ollama/ollama", "llama.cpp"),
        ("jax", "jax"),
        ("nvidia/cuda:12.8", None),
        ("", None),
    ],
)
def test_the_family_of_an_image_is_in_its_name(image: str, family: str | None) -> None:
    assert image_family(image) == family


def test_a_precision_counts_before_the_image() -> None:
    assert Adaptation("int8", "pytorch").mix == PRECISIONS["int8"]
    assert Adaptation(family="pytorch").mix == IMAGES["pytorch"].mix
    assert (Adaptation().mix, Adaptation().name, Adaptation().is_any) == (BALANCED, "balanced", False)


def scored(result: Any, hardware: Hardware) -> Any:
    found = scores_of_result(result, hardware, learned_model())
    assert found is not None
    return found


def result_with(metrics: dict[str, float], **changes: Any) -> Any:
    found = a_result(**changes)
    for device in found["devices"]:
        device["metrics"] = {name: measurement(value) for name, value in metrics.items()}
    return decode_result(line(found))


def test_a_measured_machine_is_scored_by_the_same_formula() -> None:
    throughputs = {"resnet50_train_fp32_images_per_s": 196.2, "resnet50_train_mixed_images_per_s": 484.0}
    found = scored(result_with(throughputs), gpu_models()["RTX 3090"].hardware)
    assert (found.fp32, found.fp16) == (Score(10.0, is_estimate=False), Score(20.0, is_estimate=False))
    assert found.balanced == Score(11.0, is_estimate=False)


def test_what_a_run_did_not_get_to_is_predicted_from_what_it_measured() -> None:
    hardware = gpu_models()["RTX 3090"].hardware
    model = learned_model()
    usual = scored(result_with({"memory_bandwidth_gbps": 0.9 * 936.2, "gemm_fp32_tflops": 0.85 * 35.58}), hardware)
    assert usual.balanced == scores(hardware, model).balanced
    assert usual.balanced.is_estimate
    slow_int8 = scored(result_with({"gemm_int8_tops": 10.0}), hardware)
    assert slow_int8.int8.value < usual.int8.value
    throttled = scored(result_with({"memory_bandwidth_gbps": 300.0}), hardware)
    assert throttled.balanced.value < 0.7 * usual.balanced.value


def two_gpus(second: dict[str, float], skipped: dict[str, str]) -> Any:
    """A run whose first GPU did all that the score is made of, and whose second this, and skipped that."""
    first = {
        "resnet50_train_fp32_images_per_s": 471.7,
        "resnet50_train_mixed_images_per_s": 796.2,
        "memory_bandwidth_gbps": 850.0,
        "gemm_int8_tops": 200.0,
    }
    found = a_result()
    found["devices"][0]["metrics"] = {name: measurement(value) for name, value in first.items()}
    found["devices"][1] |= {
        "metrics": {name: measurement(value) for name, value in second.items()},
        "skipped": skipped,
    }
    return decode_result(line(found))


def test_a_gpu_that_was_not_measured_makes_the_score_an_estimate() -> None:
    hardware, model = gpu_models()["RTX 3090"].hardware, learned_model()
    short = {"resnet50_train_fp32_images_per_s": "The memory is too small."}
    slow = scores_of_result(two_gpus({"memory_bandwidth_gbps": 300.0}, short), hardware, model)
    assert slow is not None
    assert slow.balanced.is_estimate
    assert slow.balanced.value < 0.7 * 24.9
    quick = scores_of_result(two_gpus({"memory_bandwidth_gbps": 1010.0}, short), hardware, model)
    assert quick is not None
    assert quick.fp32 == Score(24.0, is_estimate=True)


def test_a_gpu_without_any_figure_leaves_the_machine_without_a_score() -> None:
    skipped = {"resnet50_train_fp32_images_per_s": "The memory is too small."}
    found = two_gpus({}, skipped)
    assert scores_of_result(found, gpu_models()["RTX 3090"].hardware, learned_model()) is None


def test_what_only_the_first_gpu_is_asked_counts_for_the_others_too() -> None:
    """But not what they were asked and could not do."""
    hardware, model = gpu_models()["RTX 3090"].hardware, learned_model()
    figures = {"resnet50_train_fp32_images_per_s": 471.7, "resnet50_train_mixed_images_per_s": 796.2}
    asked_once = scores_of_result(two_gpus(figures, {}), hardware, model)
    failed = scores_of_result(two_gpus(figures, {"gemm_int8_tops": "It broke."}), hardware, model)
    assert asked_once is not None
    assert failed is not None
    assert asked_once.balanced == Score(24.9, is_estimate=False)
    assert asked_once.int8.value == failed.int8.value


def test_only_full_runs_on_gpus_are_comparable() -> None:
    assert is_comparable(decode_result(line(a_result())))
    assert not is_comparable(decode_result(line(a_result(mode="small"))))
    one = a_result()["devices"][:1]
    assert not is_comparable(decode_result(line(a_result(device="cpu", devices=one, scaling=None))))


def test_ridge_regression_finds_a_line_and_shrinks_its_slope() -> None:
    rows = [(1.0, x) for x in (-1.0, 0.0, 1.0)]
    assert ridge_regression(rows, [1.0, 3.0, 5.0], 0.0) == pytest.approx([3.0, 2.0])
    assert ridge_regression(rows, [1.0, 3.0, 5.0], 2.0) == pytest.approx([3.0, 1.0])


def test_predictions_of_unseen_gpus_beat_the_log_linear_fit(evaluated: tuple[Evaluation, Evaluation]) -> None:
    learned, baseline = evaluated
    for measure in MEASURES:
        for mine, theirs in ((learned.alone, baseline.alone), (learned.chip, baseline.chip)):
            assert mine[measure][0] < theirs[measure][0]
            assert mine[measure][1] < theirs[measure][1]
    median, largest = learned.alone["balanced"]
    assert median < LOG_LINEAR_MEDIAN
    assert largest < LOG_LINEAR_LARGEST / 3


def test_the_error_that_is_stated_is_the_one_that_was_found(evaluated: tuple[Evaluation, Evaluation]) -> None:
    model, found = learned_model(), evaluated[0].alone
    stated = {name: (error.median, error.largest) for name, error in model.errors.items()}
    assert stated == {name: pytest.approx(error, abs=1e-4) for name, error in found.items()}
    assert model.error_of(BALANCED) == model.errors["balanced"]
    assert model.error_of(PRECISIONS["bf16"]) == model.errors["mixed"]
    assert model.error_of(IMAGES["pytorch"].mix) == model.errors["mixed"]
    assert model.error_of(PRECISIONS["int8"]) is None


def test_the_evaluation_never_sees_the_gpu_that_it_predicts() -> None:
    """A GPU whose published throughput were ten times as high would be predicted as before, and others would not."""
    known = examples()
    liar = next(example for example in known if example.name == "RTX 3090")
    lying = replace(liar, images_per_s={name: 10 * value for name, value in liar.images_per_s.items()})
    honest = held_out_predictions(known, learned_features)
    found = held_out_predictions([lying if each is liar else each for each in known], learned_features)
    assert found["RTX 3090"] == honest["RTX 3090"]
    assert found["RTX A6000"] != honest["RTX A6000"]
    without_chip = held_out_predictions(known, learned_features, group=lambda example: example.chip)
    assert without_chip["RTX 3090"] != honest["RTX 3090"]


def test_features_of_the_baseline_are_those_that_it_is_said_to_have() -> None:
    hardware = Hardware(math.e, math.e**2, (8, 0), 1.0)
    assert baseline_features(hardware, "fp32") == pytest.approx((1.0, 1.0, 2.0))


def test_weights_and_document_are_what_the_command_writes(evaluated: tuple[Evaluation, Evaluation]) -> None:
    assert MODEL_FILE.read_text() == fit.model_text(evaluated[0]), "run python -m dlperf.fit"
    assert fit.DOCUMENT.read_text() == document(*evaluated), "run python -m dlperf.fit"


def test_the_document_has_every_gpu(evaluated: tuple[Evaluation, Evaluation]) -> None:
    text = document(*evaluated)
    assert all(f"| {name} |" in text for name in gpu_models())
