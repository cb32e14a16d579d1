"""The result of one benchmark run: what the workload program prints, and how it is read.

``python -m dlperf.workload`` prints one line of JSON of this form. It comes from a host's machine, so nothing about it
is taken on trust: types and names are strict, every number has bounds, and so has the size of the whole. What the
numbers mean is fixed by ``version``; a program that measures something else under a known name raises it.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

RESULT_VERSION = 1
MAX_RESULT_BYTES = 65_536
MAX_DEVICES = 16

Mode = Literal["full", "small"]
"""``small`` runs tiny sizes in seconds: it shows that everything works, and says nothing about speed."""

DeviceMetric = Literal[
    "resnet50_train_fp32_images_per_s",
    "resnet50_train_mixed_images_per_s",
    "resnet50_infer_fp16_images_per_s",
    "resnet50_infer_fp32_images_per_s",
    "transformer_train_fp32_tokens_per_s",
    "transformer_train_mixed_tokens_per_s",
    "transformer_infer_fp16_tokens_per_s",
    "lstm_train_fp32_steps_per_s",
    "lstm_train_mixed_steps_per_s",
    "gemm_fp32_tflops",
    "gemm_tf32_tflops",
    "gemm_fp16_tflops",
    "gemm_bf16_tflops",
    "gemm_int8_tops",
    "memory_bandwidth_gbps",
    "pcie_to_device_gbps",
    "pcie_from_device_gbps",
]
"""What is measured on a device. Training in ``fp32`` is what frameworks do by default: with TF32 where the GPU has it,
as in the published throughputs that DLPerf is scaled by. ``gemm_fp32_tflops`` is without TF32. LSTM steps are steps of
one sequence. Bandwidths are in 10^9 bytes a second."""

HostMetric = Literal["cpu_gflops", "ram_bandwidth_gbps", "disk_write_mbps", "disk_read_mbps"]
"""What is measured on the computer around the devices: single-precision products on all cores that the program has,
10^9 bytes a second copied in memory (read plus written), 10^6 bytes a second to and from the disk."""

NetworkMetric = Literal["upload_mbps", "download_mbps"]
"""10^6 bits a second to and from the endpoint."""

Value = Annotated[float, Meta(gt=0, le=1e12)]
Text = Annotated[str, Meta(max_length=120)]
Reason = Annotated[str, Meta(min_length=1, max_length=300)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts of a result: immutable, with no fields but those that are named."""


class Measurement(Part, frozen=True, kw_only=True):
    """One quantity, measured ``samples`` times after a warm-up."""

    median: Value
    spread: Annotated[float, Meta(ge=0, le=1e6)]
    """Largest less smallest sample, as a part of the median; 0 for a single sample."""
    samples: Annotated[int, Meta(ge=1, le=100_000)]


class Versions(Part, frozen=True, kw_only=True):
    """What ran; an empty text is not known."""

    workload: Annotated[int, Meta(ge=1, le=10_000)]
    python: Text
    torch: Text
    cuda: Text = ""
    cudnn: Text = ""


class DeviceResult(Part, frozen=True, kw_only=True):
    """What was measured on one GPU, or on the CPU in place of one."""

    index: Annotated[int, Meta(ge=0, lt=MAX_DEVICES)]
    name: Text
    uuid: Text = ""
    """Of a GPU, as NVML names it ("GPU-..."); empty for a CPU and where torch can't tell."""
    memory_mb: Annotated[int, Meta(ge=0, le=100_000_000)]
    compute_capability: Annotated[str, Meta(pattern=r"^([0-9]{1,2}\.[0-9])?$")] = ""
    metrics: dict[DeviceMetric, Measurement]
    skipped: dict[DeviceMetric, Reason] = {}
    """What was not measured, and why: the GPU can't, its memory is too small, the time was up."""

    def value(self, metric: DeviceMetric) -> float | None:
        """The median, where it was measured."""
        found = self.metrics.get(metric)
        return None if found is None else found.median


class Scaling(Part, frozen=True, kw_only=True):
    """Mixed-precision ResNet-50 training on several GPUs at once, their gradients summed after each step."""

    gpus: Annotated[int, Meta(ge=2, le=MAX_DEVICES)]
    images_per_s: Measurement
    """Of all GPUs together."""
    efficiency: Annotated[float, Meta(gt=0, le=10)]
    """Of that, what one GPU of them makes alone in the same program times their number would be 1."""


class BenchmarkResult(Part, frozen=True, kw_only=True):
    """One run of the workload on one machine."""

    version: int
    mode: Mode
    device: Literal["cuda", "cpu"]
    """``cpu`` where no GPU was used: such a result says nothing about a GPU."""
    versions: Versions
    seconds: Annotated[float, Meta(gt=0, le=86_400)]
    """How long the run took in all."""
    devices: Annotated[list[DeviceResult], Meta(min_length=1, max_length=MAX_DEVICES)]
    """The first is measured in full, the others by what tells a bad one from a good one."""
    host: dict[HostMetric, Measurement] = {}
    network: dict[NetworkMetric, Measurement] = {}
    scaling: Scaling | None = None
    notes: Annotated[list[Reason], Meta(max_length=50)] = []
    """Why something else is missing, in plain words."""

    def value(self, metric: DeviceMetric) -> float | None:
        """The least median of the devices that were measured by it. That says nothing of those that were not."""
        found = [device.value(metric) for device in self.devices]
        return min((value for value in found if value is not None), default=None)


class _Versioned(msgspec.Struct):
    version: int


_Kind = TypeVar("_Kind", bound=msgspec.Struct)


def decode_result(line: bytes | str) -> BenchmarkResult:
    """The result in a line of JSON. Raises ValueError, in words for the host, if anything is not as it must be."""
    data = line.encode() if isinstance(line, str) else line
    if len(data) > MAX_RESULT_BYTES:
        raise ValueError(f"The result has {len(data)} bytes; {MAX_RESULT_BYTES} is the most.")
    version = _decoded(data, _Versioned).version
    if version != RESULT_VERSION:
        raise ValueError(f"The result has version {version}; only version {RESULT_VERSION} is understood.")
    result = _decoded(data, BenchmarkResult)
    _check_devices(result)
    return result


def encode_result(result: BenchmarkResult) -> bytes:
    """The line of JSON that ``decode_result`` reads."""
    return msgspec.json.encode(result)


def _decoded(data: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"The result can't be read: {error}") from error


def _check_devices(result: BenchmarkResult) -> None:
    if len({device.index for device in result.devices}) < len(result.devices):
        raise ValueError("The result names one device twice.")
    if result.device == "cpu" and len(result.devices) > 1:
        raise ValueError("A result without GPUs has one device, the CPU.")
    if result.scaling is not None and result.scaling.gpus > len(result.devices):
        raise ValueError("The result tells how more GPUs scale than it names.")
