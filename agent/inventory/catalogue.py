"""The known GPU models with their public figures, from ``simulated/gpus.csv``."""

import csv
import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_GIB_MB = 1024


@dataclass(frozen=True, kw_only=True)
class GpuModel:
    """One model; figures as its maker states them."""

    model: str
    architecture: str
    compute_capability: str
    vram_mb: int
    memory_bandwidth_gbps: float
    sm_count: int
    cuda_cores: int
    boost_mhz: int
    fp32_tflops: float
    power_limit_w: int
    pcie_gen: int
    pcie_lanes: int


class UnknownGpuError(ValueError):
    """No such model; the message suggests what may have been meant."""


@cache
def models() -> dict[str, GpuModel]:
    """All models by their lower-case name."""
    text = resources.files("agent.simulated").joinpath("gpus.csv").read_text()
    return {row["model"].lower(): _model(row) for row in csv.DictReader(text.splitlines())}


def find(name: str) -> GpuModel:
    """The model of that name, in any case and with or without vendor words. Raises ``UnknownGpuError``."""
    key = simplified(name).lower()
    known = models()
    if key in known:
        return known[key]
    extended = [model for model in known if model.startswith(f"{key} ")]
    close = extended or difflib.get_close_matches(key, known, n=4, cutoff=0.5)
    if len(extended) == 1 and re.fullmatch(r"\d+gb", extended[0].removeprefix(f"{key} ")):
        return known[extended[0]]
    suggestion = f" Did you mean {_choices([known[name].model for name in close])}?" if close else ""
    raise UnknownGpuError(f"There is no GPU “{name.strip()}” in the catalogue.{suggestion}")


def simplified(name: str) -> str:
    """A driver's name for a GPU without the vendor and series words, e.g. "RTX 3090"."""
    words = re.sub(r"\b(NVIDIA|GeForce|Graphics Device)\b", " ", name, flags=re.IGNORECASE)
    return " ".join(words.replace("-", " ").split())


def canonical(driver_name: str, vram_mb: int) -> GpuModel | str:
    """The catalogue's model for what a driver reports, or else the simplified name itself."""
    name = simplified(driver_name)
    name = _DRIVER_NAMES.get(name.lower(), name)
    known = models()
    sized = f"{name} {round(vram_mb / _GIB_MB)}GB".lower()
    return known.get(name.lower()) or known.get(sized) or name


_DRIVER_NAMES = {
    "h100 80gb hbm3": "H100 SXM5",
    "h200": "H200 SXM",
    "a100 pcie 40gb": "A100 PCIe 40GB",
    "a100 80gb pcie": "A100 PCIe 80GB",
    "rtx 4000 ada generation": "RTX 4000 Ada",
    "rtx 6000 ada generation": "RTX 6000 Ada",
    "rtx pro 6000 blackwell server edition": "RTX PRO 6000",
    "rtx pro 6000 blackwell workstation edition": "RTX PRO 6000",
}
"""Drivers' names that no general rule turns into the catalogue's."""


def _choices(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _model(row: dict[str, str]) -> GpuModel:
    return GpuModel(
        model=row["model"],
        architecture=row["architecture"],
        compute_capability=row["compute_capability"],
        vram_mb=int(row["vram_mb"]),
        memory_bandwidth_gbps=float(row["memory_bandwidth_gbps"]),
        sm_count=int(row["sm_count"]),
        cuda_cores=int(row["cuda_cores"]),
        boost_mhz=int(row["boost_mhz"]),
        fp32_tflops=float(row["fp32_tflops"]),
        power_limit_w=int(row["power_limit_w"]),
        pcie_gen=int(row["pcie_gen"]),
        pcie_lanes=int(row["pcie_lanes"]),
    )
