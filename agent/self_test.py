"""Looks whether this machine can be rented out, and says what to do about what is missing. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import __version__, firewall
from agent.engine.types import Engine, EngineDownError, EngineInfo
from agent.installer import toolkit
from agent.installer.checks import is_free
from agent.inventory.choosing import sources, surroundings
from agent.inventory.collect import collect
from agent.inventory.sources import GpuSource, HostSource, InventoryError
from agent.options import MachineOptions
from agent.outside import relay_obstacle
from agent.protocol import PROTOCOL_VERSION, Inventory
from agent.register_protocol import CheckRequest
from agent.relay import ssh
from agent.server import RefusedError, ServerAwayError, ServerClient
from agent.walls import SWITCHED_OFF, gap

_ENGINE_REMEDY = "Install it with apt-get install docker.io and start it with systemctl start docker."
_DRIVER_REMEDY = "Install NVIDIA's driver, for example with apt-get install nvidia-driver, until nvidia-smi lists all."
_TOOLKIT_REMEDY = "Install the package nvidia-container-toolkit from NVIDIA's repository and restart the engine."
_FIREWALL_REMEDY = "Run the agent as root on a machine with nftables (apt-get install nftables)."
_PORTS_REMEDY = "End what uses them, or give the agent another range with --ports."
_WALLS_REMEDY = "Until then the machine is not on the market."
_SERVER_REMEDY = "The agent dials out to this address: check it, the name server, and firewalls on the way."
_REFUSED_REMEDY = "Install the agent that the marketplace offers now."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``remedy`` says what to do; it is empty where all is well."""

    title: str
    told: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{'FAIL' if self.remedy else 'ok':<5} {self.title}: {self.told}"
        return f"{line}\n      {self.remedy}" if self.remedy else line


def self_test(options: MachineOptions, engine: Engine, *, use_firewall: bool) -> Iterator[Finding]:
    """Everything about this machine, one after the other. Raises ``SimulationError``."""
    info, finding = _engine(engine)
    yield finding
    data_root = Path(info.data_root) if info else options.state_dir
    directory = next(path for path in (data_root, *data_root.parents) if path.exists())
    gpus, host = sources(options, disk_gb=None, seed="self-test", data_directory=directory)
    yield from _gpus(gpus)
    if use_firewall:
        yield _firewall()
    if missing := gap(info, lambda: "" if use_firewall else SWITCHED_OFF, simulated=gpus.simulated):
        yield Finding("Walls around guests", missing, _WALLS_REMEDY)
    yield _ports(options.port_first, options.port_last)
    yield _relay()
    yield from _marketplace(options, gpus, host, info)


def _engine(engine: Engine) -> tuple[EngineInfo | None, Finding]:
    try:
        info = engine.info()
    except EngineDownError as error:
        return None, Finding("Container engine", str(error), _ENGINE_REMEDY)
    return info, Finding("Container engine", f"version {info.version}")


def _gpus(source: GpuSource) -> Iterator[Finding]:
    try:
        models, driver = [gpu.model for gpu in source.gpus()], source.driver()
    except InventoryError as error:
        yield Finding("GPUs and driver", str(error), _DRIVER_REMEDY)
        return
    told = ", ".join(f"{models.count(model)}x {model}" for model in dict.fromkeys(models))
    yield Finding("GPUs and driver", f"{told}, driver {driver.driver_version}" + (", simulated" * source.simulated))
    if not source.simulated:
        yield _toolkit()


def _toolkit() -> Finding:
    title = "NVIDIA's container toolkit"
    if not toolkit.program():
        return Finding(title, "not found", _TOOLKIT_REMEDY)
    version = toolkit.version()
    told = f"version {version}" if version else "of an unknown version"
    return Finding(title, told, "" if toolkit.is_safe(version) else toolkit.REMEDY)


def _firewall() -> Finding:
    obstacle = firewall.obstacle_to_loading()
    return Finding("Firewall for guests", obstacle or "can be loaded", _FIREWALL_REMEDY if obstacle else "")


def _ports(first: int, last: int) -> Finding:
    """Containers of an agent that runs have some of them: that is as it should be."""
    used = [port for port in range(first, last + 1) if not is_free(port)]
    told = f"{first}-{last}, {len(used)} in use" + (f", the first is {used[0]}" if used else "")
    return Finding("Ports for guests", told, _PORTS_REMEDY if 2 * len(used) > last - first + 1 else "")


def _relay() -> Finding:
    """Without it clients reach only what the host's router lets through."""
    obstacle = relay_obstacle()
    return Finding("Way to the relay", obstacle or "ssh is installed", ssh.REMEDY if obstacle else "")


def _marketplace(
    options: MachineOptions, gpus: GpuSource, host: HostSource, engine: EngineInfo | None
) -> Iterator[Finding]:
    try:
        inventory = collect(gpus, host, surroundings(options, engine))
    except InventoryError:
        return  # told already
    yield from _requirements(options, inventory)


def _requirements(options: MachineOptions, inventory: Inventory) -> Iterator[Finding]:
    """What the marketplace says of the machine. It knows the present list; this agent may be older."""
    request = CheckRequest(protocol=PROTOCOL_VERSION, agent_version=__version__, inventory=inventory)
    client = ServerClient(options.ca_file)
    try:
        reply = client.check(options.server, request)
    except ServerAwayError as error:
        yield Finding("Marketplace", f"{options.server}: {error}", _SERVER_REMEDY)
        return
    except RefusedError as error:
        yield Finding("Marketplace", f"{options.server}: {error.msg}", _REFUSED_REMEDY)
        return
    finally:
        client.close()
    yield Finding("Marketplace", f"{options.server} answers")
    for one in reply.requirements:
        yield Finding(one.title, f"{one.has}; at least {one.needs} to be verified", "" if one.met else one.remedy)
