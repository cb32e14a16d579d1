"""Micro-benchmarks of one device: products of matrices, its memory, its bus."""

from collections.abc import Callable

import torch

from dlperf.workload.devices import MEGABYTE, Device, Sizes, single_precision
from dlperf.workload.models import Tensor
from dlperf.workload.training import Job

GIGA = 10**9
INT8_CAPABILITY = (7, 5)
BF16_CAPABILITY = (8, 0)


class UnsupportedError(Exception):
    """The device can't do this; the message says why."""


def gemm(device: Device, sizes: Sizes, precision: str) -> Job:
    """A product of square matrices. Items are multiplications and additions. Raises UnsupportedError."""
    _check_precision(device, precision)
    operations = 2 * sizes.gemm**3
    if precision == "int8":
        return Job(_int8_product(device, sizes.gemm), operations)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    left, right, out = (_matrix(device, sizes.gemm, dtype) for _ in range(3))

    def step() -> None:
        with single_precision(tf32=precision == "tf32"):
            torch.matmul(left, right, out=out)

    return Job(step, operations)


def memory_copy(device: Device, sizes: Sizes) -> Job:
    """A copy within the device's memory. Items are bytes, read plus written."""
    source, target = (_buffer(device.torch_name, sizes.copy_mb) for _ in range(2))
    return Job(lambda: target.copy_(source), 2 * sizes.copy_mb * MEGABYTE)


def bus_copy(device: Device, sizes: Sizes, *, to_device: bool) -> Job:
    """A copy between pinned memory of the host and the device. Items are bytes. Raises UnsupportedError for a CPU."""
    if device.kind != "cuda":
        raise UnsupportedError("There is no bus between a CPU and its own memory.")
    there = _buffer(device.torch_name, sizes.pcie_mb)
    here = _buffer("cpu", sizes.pcie_mb).pin_memory()
    target, source = (there, here) if to_device else (here, there)
    return Job(lambda: target.copy_(source, non_blocking=True), sizes.pcie_mb * MEGABYTE)


def _check_precision(device: Device, precision: str) -> None:
    if precision == "tf32" and not device.has_tf32:
        raise UnsupportedError("This device has no TF32.")
    if precision == "bf16" and device.kind == "cuda" and device.capability < BF16_CAPABILITY:
        raise UnsupportedError("This GPU has no bfloat16.")
    if precision == "int8" and device.kind == "cuda" and device.capability < INT8_CAPABILITY:
        raise UnsupportedError("torch multiplies 8-bit integers on GPUs of compute capability 7.5 or later only.")
    if precision == "fp16" and device.kind == "cpu":
        raise UnsupportedError("CPUs have no fast float16.")


def _int8_product(device: Device, size: int) -> Callable[[], object]:
    left, right = (torch.randint(-8, 8, (size, size), dtype=torch.int8, device=device.torch_name) for _ in range(2))
    # The GPU's library wants the second one column by column.
    right = right.t().contiguous().t()
    return lambda: torch._int_mm(left, right)


def _matrix(device: Device, size: int, dtype: object) -> Tensor:
    return torch.randn(size, size, device=device.torch_name).to(dtype)


def _buffer(place: str, megabytes: int) -> Tensor:
    return torch.ones(megabytes * MEGABYTE, dtype=torch.uint8, device=place)
