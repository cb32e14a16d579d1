"""Known GPUs: specifications and published ResNet-50 training throughputs; and the learned model for the others."""

import csv
import functools
import json
from dataclasses import dataclass, fields
from pathlib import Path

from dlperf.domain import score
from dlperf.domain.hardware import Hardware, hardware_of
from dlperf.domain.learned import WORKLOADS, ErrorRange, LearnedModel, Workload
from dlperf.domain.possible import Expected

CATALOGUE_FILE = Path(__file__).with_name("gpu_catalogue.csv")
MODEL_FILE = Path(__file__).with_name("learned_model.json")
WITHOUT_TENSOR_CORES = ("GTX 16",)
"""Of compute capability 7.5, which otherwise means tensor cores."""


@dataclass(frozen=True)
class GpuModel:
    """One row of the catalogue. Throughputs in images per second, None where nobody published one."""

    name: str
    vram_gb: float
    memory_bandwidth_gbps: float
    fp32_tflops: float
    compute_capability: str
    chip: str
    resnet50_fp32_images_per_s: float | None
    resnet50_mixed_images_per_s: float | None
    source: str
    """Which benchmark the throughputs are of: ``v0`` or ``v1``, with newer software; empty where there are none."""

    @property
    def hardware(self) -> Hardware:
        """What its specifications say."""
        return _hardware(self.name, self.fp32_tflops, self.memory_bandwidth_gbps, self.compute_capability)

    def scores(self) -> score.Scores:
        """Its scores: of published throughputs, or predicted."""
        return score.scores(
            self.hardware,
            learned_model(),
            fp32_images_per_s=self.resnet50_fp32_images_per_s,
            mixed_images_per_s=self.resnet50_mixed_images_per_s,
        )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _hardware(name: str, fp32_tflops: float, memory_bandwidth_gbps: float, compute_capability: str) -> Hardware:
    return hardware_of(
        fp32_tflops=fp32_tflops,
        memory_bandwidth_gbps=memory_bandwidth_gbps,
        compute_capability=compute_capability,
        has_tensor_cores=not name.startswith(WITHOUT_TENSOR_CORES),
    )


@functools.cache
def gpu_models() -> dict[str, GpuModel]:
    """All known GPUs by name."""
    with CATALOGUE_FILE.open(newline="") as file:
        return {row["gpu"]: _model(row) for row in csv.DictReader(file)}


def _model(row: dict[str, str]) -> GpuModel:
    return GpuModel(
        name=row["gpu"],
        vram_gb=float(row["vram_gb"]),
        memory_bandwidth_gbps=float(row["memory_bandwidth_gbps"]),
        fp32_tflops=float(row["fp32_tflops"]),
        compute_capability=row["compute_capability"],
        chip=row["chip"],
        resnet50_fp32_images_per_s=_number(row["resnet50_fp32_images_per_s"]),
        resnet50_mixed_images_per_s=_number(row["resnet50_mixed_images_per_s"]),
        source=row["source"],
    )


@functools.cache
def learned_model() -> LearnedModel:
    """The model whose weights ``python -m dlperf.fit`` wrote."""
    found = json.loads(MODEL_FILE.read_text())
    return LearnedModel(found["weights"], {name: ErrorRange(**error) for name, error in found["errors"].items()})


def hardware_known_as(
    name: str, *, fp32_tflops: float, memory_bandwidth_gbps: float, compute_capability: str = ""
) -> Hardware:
    """A GPU as the catalogue has it, else as these specifications, which a host's agent told, have it."""
    known = gpu_models().get(name)
    return known.hardware if known else _hardware(name, fp32_tflops, memory_bandwidth_gbps, compute_capability)


def gpu_scores(
    name: str, *, fp32_tflops: float, memory_bandwidth_gbps: float, compute_capability: str = ""
) -> score.Scores:
    """Scores of one GPU in every precision: of published throughputs where there are some, else predicted."""
    known = gpu_models().get(name)
    if known:
        return known.scores()
    return score.scores(_hardware(name, fp32_tflops, memory_bandwidth_gbps, compute_capability), learned_model())


def expected_of(
    name: str,
    *,
    fp32_tflops: float,
    memory_bandwidth_gbps: float,
    compute_capability: str = "",
    pcie_gbps: float | None = None,
) -> Expected:
    """What can be expected of one GPU, from the catalogue where it is there, else from what its host's agent told."""
    known = gpu_models().get(name)
    hardware = known.hardware if known else _hardware(name, fp32_tflops, memory_bandwidth_gbps, compute_capability)
    published: dict[Workload, float | None] = {
        "fp32": known.resnet50_fp32_images_per_s if known else None,
        "mixed": known.resnet50_mixed_images_per_s if known else None,
    }
    model = learned_model()
    throughputs = {of: published[of] or model.images_per_s(of, hardware) for of in WORKLOADS if hardware.is_known}
    return Expected(
        hardware=hardware,
        images_per_s=throughputs,
        in_catalogue=known is not None,
        strongest=_strongest(),
        pcie_gbps=pcie_gbps,
    )


@functools.cache
def best_scores() -> score.Scores:
    """In each precision the score of the best known GPU."""
    known = [model.scores() for model in gpu_models().values()]
    names = [field.name for field in fields(score.Scores)]
    return score.Scores(**{name: max((getattr(one, name) for one in known), key=_value) for name in names})


def _value(of: score.Score) -> float:
    return of.value


@functools.cache
def _strongest() -> Hardware:
    known = [model.hardware for model in gpu_models().values()]
    return Hardware(
        fp32_tflops=max(one.fp32_tflops for one in known),
        memory_bandwidth_gbps=max(one.memory_bandwidth_gbps for one in known),
        capability=max(one.capability for one in known),
        tensor_tflops=max(one.tensor_tflops for one in known),
    )


def gpu_score(
    name: str, *, fp32_tflops: float, memory_bandwidth_gbps: float, compute_capability: str = ""
) -> score.Score:
    """DLPerf of one GPU, as ``gpu_scores`` has it in the balanced mix."""
    return gpu_scores(
        name,
        fp32_tflops=fp32_tflops,
        memory_bandwidth_gbps=memory_bandwidth_gbps,
        compute_capability=compute_capability,
    ).balanced
