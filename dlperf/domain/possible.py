"""What a GPU can reach at the most: figures beyond it were not measured on such a GPU, whoever says so.

A benchmark's figures come from a stranger's machine. Two kinds of limits hold for them. Physical ones: products,
memory and bus are no faster than their peaks. And learned ones: training goes through so much of the GPU that its
throughput is known within a factor, from what was published for the model or, where nothing was, from its
specifications.

The factors. Predictions of GPUs that were left out of the fit with their whole chip were 13.7% off at most
(``docs/dlperf.md``), and newer software was up to 25% faster on the same GPU (``v1`` against ``v0``). That makes 1.14 x
1.25 = 1.42, and a factory's overclocking adds a tenth. So ``FASTER["fp32"]`` is 1.6. Published mixed-precision figures
are of images stored channel by channel. Channels last, as our program has them, NVIDIA's PyTorch examples reach 1,200
images/s on a V100 and 2,470 on an A100 80GB, 1.44 and 1.78 times what is published, and their PaddlePaddle ones 2,711,
1.96 times (https://github.com/NVIDIA/DeepLearningExamples, ResNet-50 v1.5, "Training performance"). In TF32 and single
precision they are within 8%. Newer software gives ``FASTER["mixed"]`` of 1.96 x 1.25 = 2.5. The 2,711 take 0.75 GB of
memory traffic an image; where a little less than that would allow more than the factor does, as on a B200, whose
published figure something else held back, it is the limit.

Far less than is published is no lie: the GPU is hot, throttled or in a poor slot, and its offers say what it does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlperf.domain.hardware import TF32_CAPABILITY, Hardware
from dlperf.domain.learned import Workload
from dlperf.domain.result import BenchmarkResult, DeviceMetric

FASTER: dict[Workload, float] = {"fp32": 1.6, "mixed": 2.5}
MIXED_GB_PER_IMAGE = 0.70
TRAINING_GFLOP_PER_IMAGE = 24.5
"""ResNet-50 at 224 x 224: 4.09 billion multiplications and as many additions forwards, twice that backwards."""

CLOCKS = 1.25
"""How far above a data sheet's rate products may be: a GTX 1080 Ti of 1.58 GHz runs at 2.0, and its library near the
peak."""
MEMORY_CLOCKS = 1.15
"""The same for memory, whose large copies reach nine tenths of the peak, a little more with a large cache."""
BUS = 1.05
UNKNOWN_TENSOR_FACTOR = 32
"""Twice the most of any generation so far, for those that we don't know."""
TWO_DIES_CAPABILITY = 10
"""Of data centers' Blackwell, specifications count one of two dies."""
_PCIE_GBPS_PER_LANE = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}

ScoresByHost = Mapping[int, Sequence[float]]

AGREE_WITHIN = 0.15
HOSTS_THAT_AGREE = 2

NAMES: dict[DeviceMetric, tuple[str, str]] = {
    "resnet50_train_fp32_images_per_s": ("ResNet-50 training, fp32/TF32", "images/s"),
    "resnet50_train_mixed_images_per_s": ("ResNet-50 training, mixed precision", "images/s"),
    "gemm_fp32_tflops": ("matrix products, fp32", "TFLOPS"),
    "gemm_tf32_tflops": ("matrix products, TF32", "TFLOPS"),
    "gemm_fp16_tflops": ("matrix products, fp16", "TFLOPS"),
    "gemm_bf16_tflops": ("matrix products, bf16", "TFLOPS"),
    "gemm_int8_tops": ("matrix products, int8", "TOPS"),
    "memory_bandwidth_gbps": ("memory bandwidth", "GB/s"),
    "pcie_to_device_gbps": ("PCIe to the GPU", "GB/s"),
    "pcie_from_device_gbps": ("PCIe from the GPU", "GB/s"),
}
"""What has a limit, as sentences name it."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a machine's GPUs before anything is measured on them."""

    hardware: Hardware
    images_per_s: Mapping[Workload, float]
    """Published, or predicted from the specifications; empty where nothing can be."""
    in_catalogue: bool
    """Else the specifications are the word of the machine's own agent."""
    strongest: Hardware
    """The greatest rates of any GPU that we know: what is said to have more is not believed."""
    pcie_gbps: float | None = None
    """Of one direction of a GPU's link; None where it is not told, or the GPU has another way to the memory."""

    @property
    def is_derived(self) -> bool:
        """Whether there is anything to judge figures by."""
        if self.in_catalogue:
            return True
        modest = (
            self.hardware.fp32_tflops <= self.strongest.fp32_tflops
            and self.hardware.memory_bandwidth_gbps <= self.strongest.memory_bandwidth_gbps
        )
        return bool(self.images_per_s) and self.hardware.has_known_kind and modest


def link_gbps(generation: int, lanes: int) -> float:
    """Gigabytes per second each way of a PCIe link; 0 where it is not known."""
    return _PCIE_GBPS_PER_LANE.get(generation, 0.0) * lanes


def limits(expected: Expected) -> dict[DeviceMetric, float]:
    """The most of each figure, in its unit."""
    hardware = expected.hardware
    half = _half_tflops(hardware) * CLOCKS
    single = _fp32_tflops(hardware) * CLOCKS
    tf32 = max(half / 2, single) if hardware.capability >= TF32_CAPABILITY else single
    found: dict[DeviceMetric, float] = {
        "gemm_fp32_tflops": single,
        "gemm_tf32_tflops": tf32,
        "gemm_fp16_tflops": half,
        "gemm_bf16_tflops": half,
        "gemm_int8_tops": max(2 * half, 4 * single),
        "memory_bandwidth_gbps": hardware.memory_bandwidth_gbps * MEMORY_CLOCKS,
        "resnet50_train_fp32_images_per_s": min(_usual(expected, "fp32"), _by_products(tf32)),
        "resnet50_train_mixed_images_per_s": min(_usual_mixed(expected), _by_products(half)),
    }
    if expected.pcie_gbps:
        found["pcie_to_device_gbps"] = found["pcie_from_device_gbps"] = expected.pcie_gbps * BUS
    return found


def _usual(expected: Expected, workload: Workload) -> float:
    return FASTER[workload] * expected.images_per_s[workload]


def _usual_mixed(expected: Expected) -> float:
    return max(_usual(expected, "mixed"), expected.hardware.memory_bandwidth_gbps / MIXED_GB_PER_IMAGE)


def _by_products(tflops: float) -> float:
    return tflops * 1000 / TRAINING_GFLOP_PER_IMAGE


def _fp32_tflops(hardware: Hardware) -> float:
    return hardware.fp32_tflops * (2 if hardware.capability[0] == TWO_DIES_CAPABILITY else 1)


def _half_tflops(hardware: Hardware) -> float:
    """Some GPUs without tensor cores do half precision at twice the rate of single."""
    single = _fp32_tflops(hardware)
    if not hardware.has_known_kind:
        return single * UNKNOWN_TENSOR_FACTOR
    return max(hardware.tensor_tflops * single / hardware.fp32_tflops, 2 * single)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a run's score."""

    doubt: str = ""
    """Why it is not believed, in words for the host; empty where it is."""
    is_unproven: bool = False
    """Nothing speaks against it, and nothing but this host's word for it: it is shown as an estimate."""

    @property
    def is_believed(self) -> bool:
        """Whether the score is that of such a GPU, as far as anybody can tell."""
        return not self.doubt and not self.is_unproven


def judge(
    result: BenchmarkResult,
    score: float | None,
    expected: Expected,
    others: Callable[[], Mapping[int, Sequence[float]]],
) -> Verdict:
    """Whether a full run on GPUs is believed. ``others`` tells scores of the same model on machines of other hosts, by
    host; it is asked only about models of which nothing can be derived. No agreement makes a GPU faster than it can be:
    accounts that agree may be one person's."""
    if expected.is_derived:
        return Verdict(doubt=impossible(result, limits(expected)))
    return Verdict(is_unproven=score is None or not agree(score, others()))


def agree(score: float, others: ScoresByHost) -> bool:
    """Whether machines of two other hosts come to the same within ``AGREE_WITHIN``; a host has one voice."""
    near = [host for host, scores in others.items() if any(abs(one - score) <= AGREE_WITHIN * score for one in scores)]
    return len(near) >= HOSTS_THAT_AGREE


def impossible(result: BenchmarkResult, most: Mapping[DeviceMetric, float]) -> str:
    """The figure that is furthest beyond its limit, in a sentence; empty where none is."""
    found = [
        (value / limit, -device.index, metric, value, limit)
        for device in result.devices
        for metric, limit in most.items()
        if (value := device.value(metric)) is not None and value > limit
    ]
    if not found:
        return ""
    _, before, metric, value, limit = max(found)
    what, unit = NAMES[metric]
    return (
        f"GPU {-before} is said to reach {value:,.4g} {unit} ({what}); GPUs of this model can't reach more than "
        f"{limit:,.4g}."
    )
