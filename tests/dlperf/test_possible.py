"""Which figures no GPU of a model can reach, and when a model that nobody knows is believed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf.catalogue import expected_of, gpu_models
from dlperf.domain.possible import AGREE_WITHIN, Expected, Verdict, agree, impossible, judge, limits, link_gbps
from dlperf.domain.result import BenchmarkResult, DeviceMetric, decode_result
from tests.dlperf.test_result import a_result, line
from tests.dlperf.test_result import measured as measurement

FP32: DeviceMetric = "resnet50_train_fp32_images_per_s"
MIXED: DeviceMetric = "resnet50_train_mixed_images_per_s"
HONEST: list[tuple[str, dict[DeviceMetric, float]]] = [
    # NVIDIA's PyTorch examples, channels last: the quickest that anybody published for these.
    ("A100 SXM4 80GB", {FP32: 938, MIXED: 2470}),
    ("Tesla V100 SXM2 16GB", {FP32: 367, MIXED: 1200}),
    # Their PaddlePaddle ones, and what a large copy and large products come to at the peaks of the data sheets.
    ("A100 SXM4 80GB", {FP32: 993, MIXED: 2711}),
    ("A100 SXM4 80GB", {"gemm_fp32_tflops": 19.5, "gemm_tf32_tflops": 156, "gemm_fp16_tflops": 312}),
    ("A100 SXM4 80GB", {"gemm_bf16_tflops": 312, "gemm_int8_tops": 624, "memory_bandwidth_gbps": 2039}),
    ("H100 SXM5", {"gemm_fp32_tflops": 67, "gemm_tf32_tflops": 494, "gemm_fp16_tflops": 989}),
    ("H100 SXM5", {"gemm_int8_tops": 1979, "memory_bandwidth_gbps": 3350, MIXED: 4200}),
    ("H100 PCIe", {"gemm_fp32_tflops": 51, "gemm_fp16_tflops": 756, "gemm_int8_tops": 1513}),
    ("B200", {"gemm_fp32_tflops": 80, "gemm_tf32_tflops": 1125, "gemm_fp16_tflops": 2250, "gemm_int8_tops": 4500}),
    ("B200", {"memory_bandwidth_gbps": 8000, MIXED: 9600}),
    ("RTX 5090", {"gemm_fp32_tflops": 105, "gemm_fp16_tflops": 419, "gemm_int8_tops": 838}),
    ("RTX 4090", {"gemm_fp32_tflops": 90, "gemm_fp16_tflops": 330, "gemm_int8_tops": 661, MIXED: 1900}),
    ("RTX 3090", {"gemm_fp32_tflops": 36, "gemm_fp16_tflops": 142, "gemm_int8_tops": 284, FP32: 560, MIXED: 1150}),
    # Overclocked to 2.05 GHz where the data sheet has 1.58.
    ("GTX 1080 Ti", {"gemm_fp32_tflops": 14.0, "gemm_fp16_tflops": 14.0, "memory_bandwidth_gbps": 480, FP32: 240}),
    # Half precision at twice the rate of single without tensor cores.
    ("Tesla P100 PCIe 16GB", {"gemm_fp16_tflops": 18.7}),
    ("GTX 1660 Ti", {"gemm_fp16_tflops": 10.9}),
    ("Tesla T4", {"gemm_fp32_tflops": 8.1, "gemm_fp16_tflops": 65, "gemm_int8_tops": 130}),
]


def expected(name: str, **told: Any) -> Expected:
    return expected_of(name, **{"fp32_tflops": 0.0, "memory_bandwidth_gbps": 0.0} | told)


def result_with(metrics: Any) -> BenchmarkResult:
    """The second GPU has these figures; the first is slow."""
    found = a_result()
    found["devices"][0]["metrics"] = {FP32: measurement(100.0)}
    found["devices"][1]["metrics"] = {name: measurement(value) for name, value in metrics.items()}
    return decode_result(line(found))


def judged(result: BenchmarkResult, score: float | None, known: Expected, others: Any = None) -> Verdict:
    return judge(result, score, known, lambda: others or {})


@pytest.mark.parametrize(("name", "metrics"), HONEST)
def test_what_gpus_are_known_to_reach_is_believed(name: str, metrics: dict[DeviceMetric, float]) -> None:
    assert judged(result_with(metrics), 20.0, expected(name)).doubt == ""


@pytest.mark.parametrize(
    ("name", "metric", "value", "says"),
    [
        ("RTX 3090", FP32, 800, r"GPU 1 is said to reach 800 images/s \(ResNet-50 training, fp32/TF32\); .* 754.7\."),
        ("RTX 3090", MIXED, 2100, "mixed precision"),
        ("RTX 3090", "gemm_fp32_tflops", 82, "matrix products, fp32"),
        ("RTX 3090", "gemm_fp16_tflops", 330, "TFLOPS"),
        ("RTX 3090", "memory_bandwidth_gbps", 2000, "2,000 GB/s"),
        ("GTX 1080 Ti", "gemm_fp16_tflops", 100, "can't reach more than 28"),
        ("RTX 4080", FP32, 1901, "ResNet-50"),
    ],
)
def test_what_no_gpu_of_the_model_can_reach_is_not_believed(
    name: str, metric: DeviceMetric, value: float, says: str
) -> None:
    found = judged(result_with({metric: value}), 20.0, expected(name))
    assert found.doubt
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(found.doubt)


def test_the_figure_that_is_furthest_off_is_the_one_that_is_named() -> None:
    found = impossible(result_with({FP32: 800.0, "memory_bandwidth_gbps": 9000.0}), limits(expected("RTX 3090")))
    assert "memory bandwidth" in found


@pytest.mark.parametrize(("gen", "lanes", "passes"), [(3, 16, False), (4, 16, True), (0, 0, True)])
def test_a_bus_is_no_faster_than_its_lanes(gen: int, lanes: int, *, passes: bool) -> None:
    known = expected("RTX 3090", pcie_gbps=link_gbps(gen, lanes) or None)
    found = judged(result_with({"pcie_to_device_gbps": 25.0}), None, known)
    assert (not found.doubt) == passes


@pytest.mark.parametrize("name", sorted(gpu_models()))
def test_what_the_catalogue_says_of_each_gpu_is_possible(name: str) -> None:
    known = gpu_models()[name]
    most = limits(expected(name))
    of = expected(name).images_per_s
    assert most[FP32] >= 1.5 * of["fp32"]
    assert most[MIXED] >= 1.5 * of["mixed"]
    assert most["memory_bandwidth_gbps"] > known.memory_bandwidth_gbps
    assert most["gemm_fp32_tflops"] > known.fp32_tflops
    assert most["gemm_fp16_tflops"] > known.hardware.tensor_tflops


def test_far_less_than_usual_is_believed() -> None:
    assert judged(result_with({FP32: 40.0}), 2.0, expected("RTX 3090")) == Verdict()


LIKE_A_4080 = {"fp32_tflops": 48.74, "memory_bandwidth_gbps": 716.8, "compute_capability": "8.9"}


def test_a_model_that_is_not_in_the_catalogue_is_judged_by_its_specifications() -> None:
    known = expected("RTX 4080 Ti", **LIKE_A_4080)
    assert judged(result_with({FP32: 470.0}), 24.0, known) == Verdict()
    assert judged(result_with({FP32: 900.0}), 45.0, known).doubt
    assert judged(result_with({FP32: 900.0}), 45.0, known, {1: [44.0], 2: [47.0]}).doubt


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"fp32_tflops": 900.0, "memory_bandwidth_gbps": 700.0, "compute_capability": "8.9"},
        {"fp32_tflops": 50.0, "memory_bandwidth_gbps": 90_000.0, "compute_capability": "8.9"},
        {"fp32_tflops": 50.0, "memory_bandwidth_gbps": 700.0, "compute_capability": "14.0"},
        {"fp32_tflops": 50.0, "memory_bandwidth_gbps": 700.0, "compute_capability": ""},
    ],
    ids=["nothing told", "too many TFLOPS", "too much bandwidth", "a new generation", "no generation"],
)
def test_where_nothing_can_be_derived_others_have_to_agree(told: dict[str, Any]) -> None:
    known, run = expected("RTX 9090", **told), result_with({FP32: 5000.0})
    assert judged(run, 250.0, known) == Verdict(is_unproven=True)
    assert judged(run, 250.0, known, {1: [250.0, 251.0]}) == Verdict(is_unproven=True)
    assert judged(run, 250.0, known, {1: [250.0], 2: [300.0]}) == Verdict(is_unproven=True)
    assert judged(run, 250.0, known, {1: [240.0], 2: [260.0]}) == Verdict()


def test_agreement_does_not_make_a_gpu_faster_than_it_can_be() -> None:
    for known in (expected("RTX 3090"), expected("RTX 4080 Ti", **LIKE_A_4080)):
        assert judged(result_with({FP32: 5000.0}), 250.0, known, {1: [250.0], 2: [250.0]}).doubt


@given(st.floats(1, 500), st.lists(st.floats(1, 500), max_size=6))
def test_two_other_hosts_have_to_be_near(score: float, others: list[float]) -> None:
    near = sum(abs(one - score) <= AGREE_WITHIN * score for one in others)
    assert agree(score, {host: [one] for host, one in enumerate(others)}) == (near >= 2)
    assert not agree(score, {1: others})


@given(st.sampled_from(sorted(gpu_models())), st.floats(1, 4))
def test_what_is_believed_is_believed_when_it_is_less(name: str, times: float) -> None:
    most = limits(expected(name))
    assert not impossible(result_with({metric: limit / times for metric, limit in most.items()}), most)
    if times > 1.01:
        assert impossible(result_with({metric: limit * times for metric, limit in most.items()}), most)
