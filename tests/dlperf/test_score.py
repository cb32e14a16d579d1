"""The DLPerf formula against its anchors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf.catalogue import gpu_models, gpu_score
from dlperf.domain.score import Score, estimated, measured


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


def test_gpus_without_measurements_are_estimated_and_say_so() -> None:
    assert score("RTX 4080").is_estimate
    assert score("RTX 4080").value == pytest.approx(23.7, rel=0.05)
    assert gpu_score("Unheard Of", fp32_tflops=0, memory_bandwidth_gbps=0).value == 0


def test_the_estimate_is_close_to_every_measurement() -> None:
    errors = []
    for model in gpu_models().values():
        # The B200's published runs were made with early software: far below what its specifications allow.
        if not score(model.name).is_estimate and model.name != "B200":
            guess = estimated(model.fp32_tflops, model.memory_bandwidth_gbps).value
            errors.append(abs(guess / score(model.name).value - 1))
    assert sorted(errors)[len(errors) // 2] < 0.05
    assert max(errors) < 0.30


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_more_throughput_is_never_a_lower_score(fp32: float, mixed: float) -> None:
    assert measured(fp32 * 2, mixed).value >= measured(fp32, mixed).value
    assert measured(fp32, mixed * 2).value >= measured(fp32, mixed).value


def test_nonsense_throughput_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        measured(0, 1)
