"""The self-test: what it looks at, what it says of what is missing, and that it changes nothing."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.engine.types import EngineDownError, EngineInfo
from agent.inventory.choosing import surroundings
from agent.inventory.host import HostOptions
from agent.inventory.simulated import SimulatedMachine
from agent.options import MachineOptions
from agent.protocol import ErrorReply
from agent.self_test import Finding, _gpus, self_test
from tests.agent.conftest import Fake
from tests.agent.marketplace import Marketplace
from tests.agent.program import NO_ENGINE, run
from tests.plumbing.ports import claim_block


class AnEngine:
    """As much of an engine as is asked."""

    def __init__(self, error: str = "") -> None:
        self.error = error

    def info(self) -> EngineInfo:
        if self.error:
            raise EngineDownError(self.error)
        return EngineInfo(version="26.1", cpus=8, ram_mb=32_000, data_root="/nonexistent/docker")


@pytest.fixture
def market() -> Iterator[Marketplace]:
    with Marketplace() as started:
        yield started


def look(
    server: str,
    folder: Path,
    *,
    engine: str = "",
    simulate: str | None = "4x RTX 3090",
    ports: tuple[int, int] = (0, 0),
) -> list[Finding]:
    first, last = ports if ports[0] else (start := claim_block(), start + 39)
    options = MachineOptions(server=server, state_dir=folder, simulate=simulate, port_first=first, port_last=last)
    return list(self_test(options, AnEngine(engine), use_firewall=False))  # type: ignore[arg-type]  # as much as is asked


def failures(found: list[Finding]) -> dict[str, str]:
    return {finding.title: finding.remedy for finding in found if finding.remedy}


def test_a_machine_that_has_all(market: Marketplace, tmp_path: Path) -> None:
    found = look(market.url, tmp_path)
    assert failures(found) == {}
    told = {finding.title: finding.told for finding in found}
    assert told["Container engine"] == "version 26.1"
    assert told["GPUs and driver"].startswith("4x RTX 3090, driver ")
    assert told["Memory of each GPU"] == "24 GB; at least 3.9 GB to be verified"
    assert market.registrations == []
    assert list(tmp_path.iterdir()) == []


def test_an_old_gpu_and_too_few_ports(market: Marketplace, tmp_path: Path) -> None:
    first = claim_block()
    found = failures(look(market.url, tmp_path, simulate="2x GTX 970", ports=(first, first + 4)))
    assert set(found) == {"Compute capability of each GPU", "Ports for each GPU"}
    assert "GTX 10 series" in found["Compute capability of each GPU"]
    assert "--ports" in found["Ports for each GPU"]


def test_an_engine_that_is_down(market: Marketplace, tmp_path: Path) -> None:
    found = failures(look(market.url, tmp_path, engine="It is not running."))
    assert found == {
        "Container engine": "Install it with apt-get install docker.io and start it with systemctl start docker."
    }


def test_no_driver(market: Marketplace, tmp_path: Path) -> None:
    found = look(market.url, tmp_path, simulate=None)
    assert "nvidia-smi" in failures(found)["GPUs and driver"]
    assert "Memory of each GPU" not in {finding.title for finding in found}


@pytest.mark.parametrize(
    ("script", "told", "remedy"),
    [
        ("echo NVIDIA Container Toolkit CLI version 1.17.8", "version 1.17.8", ""),
        ("echo NVIDIA Container Toolkit CLI version 1.17.7", "version 1.17.7", "apt-get install --only-upgrade"),
        ("exit 1", "of an unknown version", "apt-get install --only-upgrade"),
        ("", "not found", "restart the engine"),
    ],
)
def test_the_toolkit(fake: Fake, script: str, told: str, remedy: str) -> None:
    if script:
        fake("nvidia-ctk", script)
    real = SimulatedMachine("1x RTX 3090", "seed", HostOptions())
    real.simulated = False
    found = {finding.title: finding for finding in _gpus(real)}["NVIDIA's container toolkit"]
    assert found.told == told
    assert (remedy in found.remedy) if remedy else not found.remedy


def test_the_inventory_tells_the_toolkit_of_real_gpus_alone(fake: Fake, tmp_path: Path) -> None:
    fake("nvidia-ctk", "echo NVIDIA Container Toolkit CLI version 1.17.4")
    options = MachineOptions(server="http://x", state_dir=tmp_path)
    assert surroundings(options, None).toolkit_version == "1.17.4"
    assert surroundings(replace(options, simulate="1x RTX 3090"), None).toolkit_version == ""


def test_ports_that_others_use(market: Marketplace, tmp_path: Path) -> None:
    first = claim_block()
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        found = {finding.title: finding for finding in look(market.url, tmp_path, ports=(first, first))}
    ports = found["Ports for guests"]
    assert (ports.told, "--ports" in ports.remedy) == (f"{first}-{first}, 1 in use, the first is {first}", True)


def test_no_marketplace_and_one_that_refuses(market: Marketplace, tmp_path: Path) -> None:
    nobody = look(f"http://127.0.0.1:{claim_block()}", tmp_path)
    assert "dials out" in failures(nobody)["Marketplace"]
    market.refusal = (426, ErrorReply(error="unsupported_protocol", msg="Update the agent."))
    refused = {finding.title: finding for finding in look(market.url, tmp_path)}
    assert refused["Marketplace"].told.endswith("Update the agent.")
    assert refused["Marketplace"].remedy


def test_the_command_line(market: Marketplace, tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = ("self-test", "--server", market.url, "--state-dir", state, "--simulate", "1x GTX 970", "--no-firewall")
    code, output = run(*options, environment=NO_ENGINE)
    assert code == 4, output
    assert "FAIL  Container engine: The container engine is not running or can't be reached.\n      Install" in output
    assert "ok    GPUs and driver: 1x GTX 970" in output
    assert "FAIL  Compute capability of each GPU: 5.2; at least 6 to be verified" in output
    assert output.rstrip().endswith("2 to put right.")
    assert not state.exists()
