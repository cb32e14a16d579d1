"""The real pynvml, on a library that plays NVIDIA's driver."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agent.protocol import GpuFacts, decode
from agent.telemetry_protocol import GpuReading

SOURCE = Path(__file__).parent / "nvml" / "fake_nvml.c"
PROGRAM = """
from agent.inventory.nvml import NvmlSource
from agent.inventory.sources import InventoryError
from agent.protocol import encode
try:
    for gpu in NvmlSource().gpus():
        print(encode(gpu).decode())
    print(NvmlSource().driver())
except InventoryError as error:
    print(error)
"""
READINGS = """
from agent.inventory.nvml import NvmlSource
from agent.protocol import encode
import msgspec
source = NvmlSource()
source.readings([])
for reading in source.readings([]):
    print(msgspec.json.encode(msgspec.structs.replace(reading, xids=None)).decode())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with the compiled stand-in."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    directory = tmp_path_factory.mktemp("nvml")
    target = directory / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", target, SOURCE], check=True)
    return directory


def look(program: str = PROGRAM, **environment: str) -> list[str]:
    """What the source says, in a process of its own: the library is found when pynvml first needs it."""
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_gpu_of_the_catalogue(library: Path) -> None:
    first, _, driver = look(LD_LIBRARY_PATH=str(library))
    assert decode(GpuFacts, first.encode()) == GpuFacts(
        uuid="GPU-aaaa",
        index=0,
        model="RTX 3090",
        vram_mb=24576,
        compute_capability="8.6",
        pci_bus_id="00000000:01:00.0",
        pcie_gen=4,
        pcie_lanes=16,
        power_limit_w=350,
        max_temperature_c=95,
        memory_bandwidth_gbps=936.1,
        fp32_tflops=35.58,
        display_active=True,
    )
    assert driver == "Driver(driver_version='550.120', cuda_version='12.4')"


def test_unknown_gpu_that_supports_little(library: Path) -> None:
    second = decode(GpuFacts, look(LD_LIBRARY_PATH=str(library))[1].encode())
    assert second.model == "Frobnicator X 1"
    # 2560 cores, two operations a clock, 1.5 GHz
    assert second.fp32_tflops == 7.68
    assert (second.pcie_gen, second.power_limit_w, second.max_temperature_c) == (0, 0, 90)
    assert (second.memory_bandwidth_gbps, second.display_active) == (0.0, False)


def test_driver_that_is_not_loaded(library: Path) -> None:
    (line,) = look(LD_LIBRARY_PATH=str(library), FAKE_NVML_BROKEN="1")
    assert line.startswith("No NVIDIA driver was found on this machine.")
    assert line.endswith("(Driver Not Loaded)")


def readings(library: Path, **environment: str) -> list[GpuReading]:
    lines = look(READINGS, LD_LIBRARY_PATH=str(library), **environment)
    return [msgspec.json.decode(line, type=GpuReading) for line in lines]


def test_how_gpus_are_as_far_as_they_tell(library: Path) -> None:
    first, second = readings(library)
    assert first == GpuReading(
        uuid="GPU-aaaa",
        utilization_percent=87.0,
        memory_used_mb=0,
        memory_total_mb=24576,
        temperature_c=66,
        power_w=301.5,
        power_limit_w=350.0,
        fan_percent=55,
        pcie_lanes=16,
        ecc_corrected=7,
        ecc_uncorrected=2,
        throttle=["power"],
    )
    assert second == GpuReading(uuid="GPU-bbbb", memory_used_mb=0, memory_total_mb=8192, temperature_c=66)


def test_a_gpu_that_fell_off_the_bus_is_told_by_the_name_it_had(library: Path) -> None:
    first, second = readings(library, FAKE_NVML_LOST="1")
    assert first == GpuReading(uuid="GPU-aaaa", lost=True)
    assert not second.lost
