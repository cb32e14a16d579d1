"""Which hardware a machine's agent tells of."""

from dataclasses import replace
from pathlib import Path

from agent.engine.types import EngineInfo
from agent.installer import toolkit
from agent.inventory.collect import Surroundings
from agent.inventory.host import RealHost
from agent.inventory.nvml import NvmlSource
from agent.inventory.simulated import SimulatedMachine
from agent.inventory.sources import GpuSource, HostSource
from agent.options import MachineOptions


def sources(
    options: MachineOptions, *, disk_gb: int | None, seed: str, data_directory: Path
) -> tuple[GpuSource, HostSource]:
    """The real machine or a simulated one. ``disk_gb`` and ``seed`` are for what the options leave open.

    Raises ``SimulationError``.
    """
    host = replace(options.host, disk_gb=options.host.disk_gb or disk_gb)
    if options.simulate is not None:
        machine = SimulatedMachine(options.simulate, options.seed or seed, host)
        return machine, machine
    return NvmlSource(), RealHost(host, data_directory)


def surroundings(options: MachineOptions, engine: EngineInfo | None) -> Surroundings:
    """What the host states and programs tell, as far as they could be reached."""
    return Surroundings(
        port_first=options.port_first,
        port_last=options.port_last,
        public_address=options.public_address,
        geolocation=options.geolocation,
        engine=engine,
        toolkit_version=toolkit.version() if options.simulate is None else "",
    )
