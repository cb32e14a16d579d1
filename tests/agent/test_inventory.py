"""Simulated machines, the catalogue's names, and the real host's figures."""

import dataclasses
import re
from pathlib import Path

import msgspec
import pytest

from agent.engine.types import EngineInfo
from agent.inventory.catalogue import GpuModel, UnknownGpuError, canonical, find, models
from agent.inventory.collect import Surroundings, collect
from agent.inventory.host import HostOptions, RealHost
from agent.inventory.simulated import SimulatedMachine, SimulationError, parse
from agent.protocol import Inventory, decode, encode

ENGINE = EngineInfo(version="20.10", cpus=1, ram_mb=1, data_root="/")
AROUND = Surroundings(engine=ENGINE, port_first=20000, port_last=20099, public_address=None, geolocation="Oslo, NO")


def inventory(description: str, seed: str = "seed", **options: object) -> Inventory:
    machine = SimulatedMachine(description, seed, HostOptions(**options))  # type: ignore[arg-type]  # mixed by design
    return collect(machine, machine, AROUND)


def test_simulated_machine_is_complete_and_says_what_it_is() -> None:
    found = inventory("4x rtx 3090")
    assert found.simulated
    assert [gpu.model for gpu in found.gpus] == ["RTX 3090"] * 4
    assert [gpu.index for gpu in found.gpus] == [0, 1, 2, 3]
    assert len({gpu.uuid for gpu in found.gpus}) == 4
    assert len({gpu.pci_bus_id for gpu in found.gpus}) == 4
    assert found.gpus[0].vram_mb == 24576
    assert found.gpus[0].memory_bandwidth_gbps == 936.2
    assert found.ram_mb >= 4 * 24576
    assert (found.engine_version, found.port_first, found.port_last) == ("20.10", 20000, 20099)
    assert decode(Inventory, encode(found)) == found


def test_texts_of_kernel_and_driver_are_made_printable() -> None:
    machine = SimulatedMachine("RTX 3090", "seed", HostOptions(hostname="rig\0\x1b7"))
    around = dataclasses.replace(AROUND, engine=dataclasses.replace(ENGINE, version="20.10\0"), geolocation=None)
    (gpu,) = machine.gpus()
    odd = msgspec.structs.replace(gpu, pci_bus_id="0\0:1")
    machine.gpus = lambda: [odd]  # type: ignore[method-assign]  # a driver that pads its texts with NULs
    found = collect(machine, machine, around)
    assert (found.hostname, found.engine_version, found.geolocation) == ("rig 7", "20.10", None)
    assert found.gpus[0].pci_bus_id == "0 :1"
    assert found.gpus[0].model == "RTX 3090"


def test_same_seed_same_machine() -> None:
    assert inventory("2x RTX 4090", "a") == inventory("2x RTX 4090", "a")
    assert inventory("2x RTX 4090", "a").gpus[0].uuid != inventory("2x RTX 4090", "b").gpus[0].uuid


@pytest.mark.parametrize("seed", [str(number) for number in range(20)])
@pytest.mark.parametrize("description", ["GTX 1060 6GB", "8x H100 SXM5", "16x RTX 3070", "2x A40, 1x L4"])
def test_figures_are_plausible(description: str, seed: str) -> None:
    found = inventory(description, seed)
    assert 8 <= found.cpu_cores <= 256
    assert found.ram_mb >= sum(gpu.vram_mb for gpu in found.gpus)
    assert found.disk_total_gb >= 240
    assert 50 <= found.inet_down_mbps <= 10000
    assert 0 < found.inet_up_mbps <= found.inet_down_mbps
    assert all(re.fullmatch(r"[0-9A-F]{8}:[0-9A-F]{2}:00\.0", gpu.pci_bus_id) for gpu in found.gpus)


def test_stated_figures_win() -> None:
    found = inventory(
        "RTX 3090", hostname="rig", disk_gb=77, inet_up_mbps=5.0, inet_down_mbps=6.0, disk_bandwidth_mbps=7.0
    )
    assert (found.hostname, found.disk_total_gb) == ("rig", 77)
    assert (found.inet_up_mbps, found.inet_down_mbps, found.disk_bandwidth_mbps) == (5.0, 6.0, 7.0)


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ("4x RTX 9090", "RTX 5090"),
        ("rtx3090", "RTX 3090"),
        ("A100", "A100 PCIe 40GB"),
        ("0x RTX 3090", "1 to 16 GPUs, not 0"),
        ("17x RTX 3090", "1 to 16 GPUs, not 17"),
        ("", "describes no machine"),
    ],
)
def test_nonsense_is_refused_with_help(description: str, told: str) -> None:
    with pytest.raises(SimulationError, match=re.escape(told)):
        parse(description)


@pytest.mark.parametrize(
    ("name", "vram_mb", "model"),
    [
        ("NVIDIA GeForce RTX 3090", 24576, "RTX 3090"),
        ("GeForce GTX 1060 6GB", 6144, "GTX 1060 6GB"),
        ("NVIDIA GeForce RTX 3080", 10240, "RTX 3080 10GB"),
        ("NVIDIA GeForce RTX 3060", 12288, "RTX 3060 12GB"),
        ("Tesla V100-SXM2-16GB", 16384, "Tesla V100 SXM2 16GB"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100 SXM4 80GB"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100 SXM5"),
        ("NVIDIA RTX A6000", 49140, "RTX A6000"),
        ("NVIDIA L4", 23034, "L4"),
    ],
)
def test_names_of_the_driver(name: str, vram_mb: int, model: str) -> None:
    known = canonical(name, vram_mb)
    assert isinstance(known, GpuModel)
    assert known.model == model


def test_name_nobody_knows_stays_as_it_is() -> None:
    assert canonical("NVIDIA Foo Bar-7", 4096) == "Foo Bar 7"


def test_catalogue_is_sane() -> None:
    assert len(models()) > 50
    for model in models().values():
        assert model.vram_mb >= 4096
        # Two operations a core and clock: what a maker states lies close to that.
        assert model.fp32_tflops == pytest.approx(model.cuda_cores * model.boost_mhz * 2 / 1e6, rel=0.06)
        assert find(model.model.upper()) is model


def test_one_size_only_needs_no_size() -> None:
    assert find("rtx 4060 ti").model == "RTX 4060 Ti 16GB"
    with pytest.raises(UnknownGpuError, match="Did you mean"):
        find("Tesla V100")


def test_real_host(tmp_path: Path) -> None:
    facts = RealHost(HostOptions(inet_down_mbps=100.0), tmp_path).facts()
    assert facts.cpu_cores >= 1
    assert facts.ram_mb > 100
    assert facts.disk_total_gb >= 0
    assert facts.inet_down_mbps == 100.0
    assert facts.inet_up_mbps > 0
    assert all((facts.hostname, facts.cpu_name, facts.cpu_arch, facts.os_name, facts.disk_name, facts.motherboard))


def test_real_host_reads_the_kernels_records(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "model name\t: Some CPU\ncpu MHz\t\t: 2400.000\nflags\t\t: fpu avx avx2\n",
        "etc/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\n',
        "sys/devices/virtual/dmi/id/board_vendor": "ACME\n",
        "sys/devices/virtual/dmi/id/board_name": "X1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    facts = RealHost(HostOptions(), tmp_path, root=tmp_path).facts()
    assert (facts.cpu_name, facts.cpu_ghz, facts.has_avx) == ("Some CPU", 2.4, True)
    assert (facts.os_name, facts.os_version) == ("Debian GNU/Linux", "12")
    assert facts.motherboard == "ACME X1"
