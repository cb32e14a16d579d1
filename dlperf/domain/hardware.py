"""A GPU as the score's model sees it: three rates that follow from its specifications, or were measured."""

from dataclasses import dataclass, replace
from typing import Literal

Precision = Literal["fp32", "fp16", "bf16", "int8"]

TF32_CAPABILITY = (8, 0)
DP4A_CAPABILITY = (6, 1)
TENSOR_INT8_CAPABILITY = (7, 5)
BF16_CAPABILITY = (8, 0)

_NARROW_SM = {(6, 0), (7, 0), (7, 5), (8, 0)}
"""Capabilities whose multiprocessors have 64 single-precision cores; the others have 128."""
_FIRST_TENSOR_CAPABILITY = (7, 0)
_TENSOR_FACTORS = {(7, 0): 8, (7, 5): 8, (8, 0): 16, (8, 6): 4, (8, 9): 4, (9, 0): 16, (10, 0): 16, (12, 0): 4}
"""Dense float16 products on tensor cores, as a multiple of the single-precision rate, by NVIDIA's data sheets."""

ATTAINABLE_BANDWIDTH = 0.9
ATTAINABLE_FP32 = 0.85
ATTAINABLE_TENSOR = 0.7
"""The part of a data sheet's rate that a large copy or product reaches on a GPU in good order. Approximate."""


@dataclass(frozen=True)
class Hardware:
    """One GPU. Rates are theoretical peaks; those measured on a machine are turned into them by ``as_measured``."""

    fp32_tflops: float
    memory_bandwidth_gbps: float
    capability: tuple[int, int]
    """Compute capability, (8, 6) style; (0, 0) where it is not known."""
    tensor_tflops: float
    """Dense float16 products; the single-precision rate where there are no tensor cores."""
    measured_int8_tera_ops: float | None = None
    """Dense 8-bit products where they were measured; else they follow from the others."""

    @property
    def is_known(self) -> bool:
        """Whether there is anything to reckon with."""
        return self.fp32_tflops > 0 and self.memory_bandwidth_gbps > 0

    @property
    def has_known_kind(self) -> bool:
        """Whether its tensor cores follow from its compute capability: from none of a generation that we don't know."""
        return (0, 0) < self.capability < _FIRST_TENSOR_CAPABILITY or self.capability in _TENSOR_FACTORS

    @property
    def has_tensor_cores(self) -> bool:
        """Whether products in half precision are faster than in single."""
        return self.tensor_tflops > self.fp32_tflops

    @property
    def multiprocessor_rate(self) -> float:
        """Multiprocessors times clock, in an arbitrary unit: how much work without products goes through."""
        return self.fp32_tflops / (64 if self.capability in _NARROW_SM else 128)

    def product_tera_ops(self, precision: Precision) -> float:
        """Rate of dense matrix products when a framework works in the precision, in 10^12 operations a second."""
        if precision == "fp32":
            return self.tensor_tflops / 2 if self.capability >= TF32_CAPABILITY else self.fp32_tflops
        if precision == "int8":
            return self._int8_tera_ops()
        return self.tensor_tflops

    def _int8_tera_ops(self) -> float:
        if self.measured_int8_tera_ops is not None:
            return self.measured_int8_tera_ops
        if self.has_tensor_cores and self.capability >= TENSOR_INT8_CAPABILITY:
            return 2 * self.tensor_tflops
        return 4 * self.fp32_tflops if self.capability >= DP4A_CAPABILITY else self.fp32_tflops

    def as_measured(
        self,
        *,
        bandwidth_gbps: float | None,
        fp32_tflops: float | None,
        fp16_tflops: float | None,
        int8_tera_ops: float | None,
    ) -> "Hardware":
        """The same GPU with the peaks that go with what was measured on it; None leaves a rate as it is."""
        fp32 = _peak(fp32_tflops, ATTAINABLE_FP32, self.fp32_tflops)
        # Without tensor cores float16 products go through odd units that training does not use.
        tensor = _peak(fp16_tflops, ATTAINABLE_TENSOR, self.tensor_tflops) if self.has_tensor_cores else fp32
        return replace(
            self,
            memory_bandwidth_gbps=_peak(bandwidth_gbps, ATTAINABLE_BANDWIDTH, self.memory_bandwidth_gbps),
            fp32_tflops=fp32,
            tensor_tflops=tensor,
            measured_int8_tera_ops=None if int8_tera_ops is None else int8_tera_ops / ATTAINABLE_TENSOR,
        )


def hardware_of(
    *, fp32_tflops: float, memory_bandwidth_gbps: float, compute_capability: str, has_tensor_cores: bool = True
) -> Hardware:
    """A GPU from its specifications; ``compute_capability`` is "8.6" style, anything else is not known."""
    capability = _capability(compute_capability)
    factor = _TENSOR_FACTORS.get(capability, 1) if has_tensor_cores else 1
    return Hardware(fp32_tflops, memory_bandwidth_gbps, capability, fp32_tflops * factor)


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    known = text.isascii() and major.isdigit() and minor.isdigit() and len(text) <= 5
    return (int(major), int(minor)) if known else (0, 0)


def _peak(measured: float | None, attainable: float, otherwise: float) -> float:
    return otherwise if measured is None else measured / attainable
