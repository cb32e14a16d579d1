"""What the program runs on: a GPU or the CPU, what it can do and which sizes fit it."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dlperf.cuda import UnsupportedGpuError, require_kernels

MEGABYTE = 1_048_576
IMAGE_TRAINING_MB = {"fp32": 110.0, "mixed": 65.0}
"""Memory that ResNet-50 takes for each image of a batch, a little more than was seen."""
MODEL_MB = 1_500.0
"""Memory that is gone before the first image: the CUDA context, weights, their gradients and momentum, workspaces."""
ROOMY_MB = 4_000
"""With less, matrices are half as wide."""
MOST_IMAGES = 256
LEAST_IMAGES = 4


@dataclass(frozen=True)
class Sizes:
    """How large the work is. Small sizes show that the program works; the full ones keep a GPU busy."""

    image_px: int
    most_images: int
    tokens_batch: int
    tokens_length: int
    width: int
    heads: int
    gemm: int
    copy_mb: int
    pcie_mb: int
    disk_mb: int
    network_bytes: int
    sample_seconds: float

    @property
    def takes_time(self) -> bool:
        """Whether measurements use the time they may, or are through at once."""
        return self.sample_seconds > 0


SMALL = Sizes(
    image_px=32,
    most_images=2,
    tokens_batch=2,
    tokens_length=32,
    width=64,
    heads=4,
    gemm=256,
    copy_mb=8,
    pcie_mb=8,
    disk_mb=8,
    network_bytes=65_536,
    sample_seconds=0.0,
)
FULL_GPU = Sizes(
    image_px=224,
    most_images=MOST_IMAGES,
    tokens_batch=16,
    tokens_length=512,
    width=1024,
    heads=16,
    gemm=8192,
    copy_mb=1024,
    pcie_mb=256,
    disk_mb=1024,
    network_bytes=250_000,
    sample_seconds=0.5,
)
FULL_CPU = Sizes(
    image_px=224,
    most_images=8,
    tokens_batch=2,
    tokens_length=256,
    width=512,
    heads=8,
    gemm=2048,
    copy_mb=256,
    pcie_mb=64,
    disk_mb=512,
    network_bytes=250_000,
    sample_seconds=0.5,
)


@dataclass(frozen=True)
class Device:
    """One GPU, or the CPU in place of one."""

    kind: str
    """"cuda" or "cpu"."""
    index: int
    name: str
    uuid: str
    memory_mb: int
    capability: tuple[int, int]
    """(8, 6) style; (0, 0) for the CPU."""

    @property
    def torch_name(self) -> str:
        """What torch calls it."""
        return f"cuda:{self.index}" if self.kind == "cuda" else "cpu"

    @property
    def has_tf32(self) -> bool:
        """Whether single precision can go through tensor cores."""
        return self.kind == "cuda" and self.capability >= (8, 0)

    @property
    def half(self) -> Any:
        """The type of half the bits that training uses: CPUs have no fast float16."""
        return torch.float16 if self.kind == "cuda" else torch.bfloat16

    def settle(self) -> None:
        """Wait until all work has been done."""
        if self.kind == "cuda":
            torch.cuda.synchronize(self.index)

    def release(self) -> None:
        """Give cached memory back, so that the next measurement finds all of it."""
        if self.kind == "cuda":
            torch.cuda.empty_cache()


def find_devices(wanted: str) -> list[Device]:
    """The GPUs that torch sees, or the CPU where it sees none.

    Raises UnsupportedGpuError where "cuda" is wanted and missing, or has nothing that runs on it.
    """
    count = torch.cuda.device_count() if wanted != "cpu" and torch.cuda.is_available() else 0
    if count:
        return [_gpu(index) for index in range(min(count, 16))]
    if wanted == "cuda":
        raise UnsupportedGpuError("torch sees no GPU: check the driver and that the container was given its GPUs.")
    return [Device("cpu", 0, cpu_name(), "", _ram_mb(), (0, 0))]


def sizes_for(device: Device, mode: str) -> Sizes:
    """Sizes for the mode; smaller products and copies where the memory is small."""
    if mode == "small":
        return SMALL
    full = FULL_CPU if device.kind == "cpu" else FULL_GPU
    eighth_mb = max(device.memory_mb // 8, 1)
    gemm = full.gemm if device.memory_mb >= ROOMY_MB else full.gemm // 2
    return replace(full, copy_mb=min(full.copy_mb, eighth_mb), gemm=gemm)


def image_batch(device: Device, sizes: Sizes, precision: str) -> int:
    """How many images ResNet-50 trains on at once: the power of two that fits the device's memory."""
    per_image = IMAGE_TRAINING_MB[precision] * (sizes.image_px / 224) ** 2
    fitting = (device.memory_mb * 0.9 - MODEL_MB) / per_image
    batch = sizes.most_images
    while batch > LEAST_IMAGES and batch > fitting:
        batch //= 2
    return batch


@contextmanager
def single_precision(*, tf32: bool) -> Iterator[None]:
    """Whether float32 products may go through TF32 meanwhile; convolutions may by torch's own default."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def cpu_name() -> str:
    """The CPU's name as Linux tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())[:120]


def _gpu(index: int) -> Device:
    require_kernels(f"cuda:{index}")
    facts = torch.cuda.get_device_properties(index)
    uuid = str(getattr(facts, "uuid", ""))
    return Device(
        kind="cuda",
        index=index,
        name=facts.name.removeprefix("NVIDIA ").removeprefix("GeForce ")[:120],
        uuid=uuid if not uuid or uuid.startswith("GPU-") else f"GPU-{uuid}",
        memory_mb=facts.total_memory // MEGABYTE,
        capability=(facts.major, facts.minor),
    )


def _ram_mb() -> int:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return 0
    total = next((line.split()[1] for line in text.splitlines() if line.startswith("MemTotal:")), "0")
    return int(total) // 1024
