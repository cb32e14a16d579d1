"""Known GPUs: specifications and published ResNet-50 training throughputs."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from dlperf.domain import score

CATALOGUE_FILE = Path(__file__).with_name("gpu_catalogue.csv")


@dataclass(frozen=True)
class GpuModel:
    """One row of the catalogue. Throughputs in images per second, None where nobody published one."""

    name: str
    vram_gb: float
    memory_bandwidth_gbps: float
    fp32_tflops: float
    resnet50_fp32_images_per_s: float | None
    resnet50_mixed_images_per_s: float | None


def _number(text: str) -> float | None:
    return float(text) if text else None


@functools.cache
def gpu_models() -> dict[str, GpuModel]:
    """All known GPUs by name."""
    with CATALOGUE_FILE.open(newline="") as file:
        return {
            row["gpu"]: GpuModel(
                name=row["gpu"],
                vram_gb=float(row["vram_gb"]),
                memory_bandwidth_gbps=float(row["memory_bandwidth_gbps"]),
                fp32_tflops=float(row["fp32_tflops"]),
                resnet50_fp32_images_per_s=_number(row["resnet50_fp32_images_per_s"]),
                resnet50_mixed_images_per_s=_number(row["resnet50_mixed_images_per_s"]),
            )
            for row in csv.DictReader(file)
        }


def gpu_score(name: str, *, fp32_tflops: float, memory_bandwidth_gbps: float) -> score.Score:
    """DLPerf of one GPU: from published throughputs where there are some, else estimated from these specifications."""
    known = gpu_models().get(name)
    if known and known.resnet50_fp32_images_per_s and known.resnet50_mixed_images_per_s:
        return score.measured(known.resnet50_fp32_images_per_s, known.resnet50_mixed_images_per_s)
    return score.estimated(fp32_tflops, memory_bandwidth_gbps)
