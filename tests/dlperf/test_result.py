"""What the marketplace accepts as the result of a benchmark run."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf.domain.command import workload_command
from dlperf.domain.result import MAX_RESULT_BYTES, DeviceMetric, decode_result, encode_result


def measured(median: float = 100.0) -> dict[str, Any]:
    return {"median": median, "spread": 0.02, "samples": 5}


def a_result(**changes: Any) -> dict[str, Any]:
    """The result of a machine with two GPUs, as the program prints it."""
    gpus = [
        {"index": index, "name": "RTX 3090", "uuid": f"GPU-{index}", "memory_mb": 24_576, "compute_capability": "8.6"}
        for index in range(2)
    ]
    metrics = {"resnet50_train_fp32_images_per_s": measured(), "gemm_fp16_tflops": measured(70.5)}
    return {
        "version": 1,
        "mode": "full",
        "device": "cuda",
        "versions": {"workload": 1, "python": "3.11.2", "torch": "2.13.0", "cuda": "12.8", "cudnn": "9.10"},
        "seconds": 201.5,
        "devices": [gpu | {"metrics": metrics} for gpu in gpus],
        "host": {"cpu_gflops": measured()},
        "scaling": {"gpus": 2, "images_per_s": measured(), "efficiency": 0.94},
    } | changes


def line(result: Any) -> bytes:
    return json.dumps(result).encode()


def test_a_result_is_the_same_after_being_written_and_read() -> None:
    result = decode_result(line(a_result()))
    assert result.devices[1].metrics["gemm_fp16_tflops"].median == 70.5
    assert decode_result(encode_result(result)) == result


def test_a_machine_is_as_good_as_its_worst_gpu() -> None:
    result = a_result()
    result["devices"][1]["metrics"] = {"resnet50_train_fp32_images_per_s": measured(60.0)}
    decoded = decode_result(line(result))
    assert decoded.value("resnet50_train_fp32_images_per_s") == 60.0
    assert decoded.value("gemm_fp16_tflops") == 70.5
    assert decoded.value("gemm_bf16_tflops") is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "version 2; only version 1"),
        ({"mode": "huge"}, "mode"),
        ({"device": "tpu"}, "device"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 1e9}, "seconds"),
        ({"seconds": "12"}, "seconds"),
        ({"devices": []}, "devices"),
        ({"host": {"cpu_gflops": measured(-1.0)}}, "host"),
        ({"host": {"cpu_gflops": measured(1e13)}}, "host"),
        ({"host": {"cpu_gflips": measured()}}, "cpu_gflips"),
        ({"host": {"cpu_gflops": measured() | {"samples": 0}}}, "samples|host"),
        ({"surprise": 1}, "surprise"),
        ({"device": "cpu"}, "one device"),
        ({"scaling": {"gpus": 3, "images_per_s": measured(), "efficiency": 1.0}}, "more GPUs scale"),
        ({"devices": [a_result()["devices"][0]] * 2}, "twice"),
        ({"notes": ["x"] * 51}, "notes"),
        ({"notes": ["x" * MAX_RESULT_BYTES]}, "bytes"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_result(line(a_result(**changes)))


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 60_000, b'{"version": NaN}'])
def test_what_is_no_result_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        decode_result(text)


@given(st.sampled_from(get_args(DeviceMetric)), st.one_of(st.floats(), st.integers(), st.none(), st.text()))
def test_a_median_is_a_positive_finite_number_or_refused(metric: str, median: Any) -> None:
    result = a_result()
    result["devices"][0]["metrics"] = {metric: measured() | {"median": median}}
    is_good = isinstance(median, float | int) and 0 < median <= 1e12
    try:
        decoded = decode_result(line(result))
    except ValueError:
        assert not is_good
    else:
        assert is_good
        assert decoded.devices[0].metrics[metric].median == median  # type: ignore[index]  # a good one has metrics


def test_the_command_line_names_what_it_does() -> None:
    words = workload_command(mode="small", device="cpu", seconds=60, endpoint="https://site.example/speed")
    assert words[1:] == [
        *["-m", "dlperf.workload", "--mode", "small", "--device", "cpu", "--seconds", "60"],
        *["--endpoint", "https://site.example/speed"],
    ]
    assert "--endpoint" not in workload_command()
