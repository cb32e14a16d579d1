"""How a benchmark's result is spelled on pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from dlperf.domain.result import BenchmarkResult, DeviceMetric, HostMetric, Measurement, NetworkMetric

Metric = TypeVar("Metric", DeviceMetric, HostMetric, NetworkMetric)

DEVICE: dict[DeviceMetric, tuple[str, str]] = {
    "resnet50_train_fp32_images_per_s": ("ResNet-50 training, fp32/TF32", "images/s"),
    "resnet50_train_mixed_images_per_s": ("ResNet-50 training, mixed precision", "images/s"),
    "resnet50_infer_fp16_images_per_s": ("ResNet-50 inference, fp16", "images/s"),
    "resnet50_infer_fp32_images_per_s": ("ResNet-50 inference, fp32", "images/s"),
    "transformer_train_fp32_tokens_per_s": ("Transformer training, fp32/TF32", "tokens/s"),
    "transformer_train_mixed_tokens_per_s": ("Transformer training, mixed precision", "tokens/s"),
    "transformer_infer_fp16_tokens_per_s": ("Transformer inference, fp16", "tokens/s"),
    "lstm_train_fp32_steps_per_s": ("LSTM training, fp32/TF32", "steps/s"),
    "lstm_train_mixed_steps_per_s": ("LSTM training, mixed precision", "steps/s"),
    "gemm_fp32_tflops": ("Matrix products, fp32", "TFLOPS"),
    "gemm_tf32_tflops": ("Matrix products, TF32", "TFLOPS"),
    "gemm_fp16_tflops": ("Matrix products, fp16", "TFLOPS"),
    "gemm_bf16_tflops": ("Matrix products, bf16", "TFLOPS"),
    "gemm_int8_tops": ("Matrix products, int8", "TOPS"),
    "memory_bandwidth_gbps": ("Memory bandwidth", "GB/s"),
    "pcie_to_device_gbps": ("PCIe to the GPU", "GB/s"),
    "pcie_from_device_gbps": ("PCIe from the GPU", "GB/s"),
}
HOST: dict[HostMetric, tuple[str, str]] = {
    "cpu_gflops": ("CPU matrix products, fp32", "GFLOPS"),
    "ram_bandwidth_gbps": ("RAM bandwidth", "GB/s"),
    "disk_write_mbps": ("Disk, writing", "MB/s"),
    "disk_read_mbps": ("Disk, reading", "MB/s"),
}
NETWORK: dict[NetworkMetric, tuple[str, str]] = {
    "upload_mbps": ("Network, upload", "Mbit/s"),
    "download_mbps": ("Network, download", "Mbit/s"),
}
_SCALED = "ResNet-50 training, mixed precision, {gpus} GPUs together"
_FIGURES = 3


@dataclass(frozen=True)
class Row:
    """One measured quantity: name, median with its unit, spread in percent of the median."""

    name: str
    median: str
    unit: str
    spread: str
    samples: int


@dataclass(frozen=True)
class Group:
    """What was measured on one GPU, or on the computer around them. ``skipped`` are pairs of name and reason."""

    title: str
    rows: list[Row]
    skipped: list[tuple[str, str]]


def groups(result: BenchmarkResult) -> list[Group]:
    """The whole result, GPU by GPU, then together, then the host."""
    devices = [
        Group(
            title=f"{'CPU' if result.device == 'cpu' else f'GPU {device.index}'}: {device.name}",
            rows=_rows(DEVICE, device.metrics),
            skipped=[(DEVICE[metric][0], reason) for metric, reason in device.skipped.items()],
        )
        for device in result.devices
    ]
    host = _rows(HOST, result.host) + _rows(NETWORK, result.network)
    return [*devices, *_scaling(result), *([Group("Host", host, [])] if host else [])]


def _scaling(result: BenchmarkResult) -> list[Group]:
    if result.scaling is None:
        return []
    together = _row(_SCALED.format(gpus=result.scaling.gpus), "images/s", result.scaling.images_per_s)
    title = f"All GPUs: {result.scaling.efficiency:.0%} of what each does alone"
    return [Group(title, [together], [])]


def _rows(words: Mapping[Metric, tuple[str, str]], metrics: Mapping[Metric, Measurement]) -> list[Row]:
    """In the order of the words, whatever that of the metrics."""
    return [_row(*words[metric], metrics[metric]) for metric in words if metric in metrics]


def _row(name: str, unit: str, measured: Measurement) -> Row:
    return Row(name, figure(measured.median), unit, f"{measured.spread:.1%}", measured.samples)


def figure(value: float) -> str:
    """A number with three significant digits and no exponent: 0.00123, 12.3, 12,300."""
    rounded = float(f"{value:.{_FIGURES}g}")
    decimals = 0 if rounded >= 10 ** (_FIGURES - 1) else len(f"{rounded:.12f}".rstrip("0").partition(".")[2])
    return f"{rounded:,.{decimals}f}"
