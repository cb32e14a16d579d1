"""The whole inventory, put together."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from agent.engine.sandboxes import obstacles
from agent.engine.types import EngineInfo
from agent.inventory.sources import GpuSource, HostSource
from agent.printable import printable
from agent.protocol import Inventory, Message

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What neither GPUs nor host tell."""

    port_first: int
    port_last: int
    public_address: str | None
    geolocation: str | None
    engine: EngineInfo | None
    """None where it could not be reached."""
    toolkit_version: str = ""


def collect(gpus: GpuSource, host: HostSource, around: Surroundings) -> Inventory:
    """Raises ``InventoryError``."""
    facts, driver = host.facts(), gpus.driver()
    return _printable(
        Inventory(
            hostname=facts.hostname,
            simulated=gpus.simulated,
            gpus=[_printable(gpu) for gpu in gpus.gpus()],
            driver_version=driver.driver_version,
            cuda_version=driver.cuda_version,
            cpu_name=facts.cpu_name,
            cpu_arch=facts.cpu_arch,
            cpu_cores=facts.cpu_cores,
            cpu_ghz=facts.cpu_ghz,
            has_avx=facts.has_avx,
            ram_mb=facts.ram_mb,
            disk_name=facts.disk_name,
            disk_total_gb=facts.disk_total_gb,
            disk_bandwidth_mbps=facts.disk_bandwidth_mbps,
            inet_up_mbps=facts.inet_up_mbps,
            inet_down_mbps=facts.inet_down_mbps,
            os_name=facts.os_name,
            os_version=facts.os_version,
            kernel_version=facts.kernel_version,
            motherboard=facts.motherboard,
            engine_version=around.engine.version if around.engine else "",
            port_first=around.port_first,
            port_last=around.port_last,
            public_address=around.public_address,
            geolocation=around.geolocation,
            sandboxes=obstacles(around.engine.runtimes, real_gpus=not gpus.simulated) if around.engine else {},
            user_namespaces=around.engine is not None and around.engine.user_namespaces,
            toolkit_version=around.toolkit_version,
        )
    )


def _printable(message: M) -> M:
    """Kernel records and drivers may pad or garble their texts."""
    fields = msgspec.structs.asdict(message)
    texts = {name: printable(value) for name, value in fields.items() if isinstance(value, str)}
    return msgspec.structs.replace(message, **texts)
