"""The isolation profile every guest gets, and the limits of its contract.

A guest is root inside, and apt, pip, sshd, Jupyter and su work; it holds only the capabilities those need.
"""

from typing import Any

from docker.api.client import APIClient
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

from agent.engine.guest_networks import line_label
from agent.engine.sandboxes import runtime_for
from agent.engine.types import TOOLS_PLACE, ContainerPlan, EngineInfo

CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "AUDIT_WRITE",
]
LOG_FILE_SIZE = "10m"
LOG_FILES = "2"
_MB = 1 << 20
_MIN_RAM_MB = 16
_MIN_SHM_MB = 1
_MIN_CPUS = 0.01


def gpu_requests(uuids: list[str]) -> list[DeviceRequest]:
    """Exactly these GPUs, by UUID; none for simulated machines, which pass no UUIDs."""
    return [DeviceRequest(device_ids=list(uuids), capabilities=[["gpu"]])] if uuids else []


def create_arguments(client: APIClient, plan: ContainerPlan, info: EngineInfo, *, disk_quota: bool) -> dict[str, Any]:
    """Keyword arguments of docker-py's ``create_container``."""
    return {
        "image": plan.image,
        "name": plan.name,
        "hostname": plan.hostname,
        "user": plan.user,
        "stop_signal": plan.stop_signal,
        "stdin_open": plan.open_stdin,
        "entrypoint": plan.entrypoint,
        "command": plan.command or None,
        "environment": dict(plan.environment),
        "labels": plan.labels | line_label(plan),
        "ports": [(port.container_port, port.protocol) for port in plan.ports],
        "host_config": _host_config(client, plan, info, disk_quota=disk_quota),
    }


def _host_config(client: APIClient, plan: ContainerPlan, info: EngineInfo, *, disk_quota: bool) -> dict[str, Any]:
    return client.create_host_config(
        **_limits(plan, info),
        init=True,
        runtime=runtime_for(plan, info),
        cap_drop=["ALL"],
        cap_add=CAPABILITIES,
        security_opt=["no-new-privileges:true"],
        network_mode=plan.network,
        port_bindings={f"{port.container_port}/{port.protocol}": ("0.0.0.0", port.host_port) for port in plan.ports},  # noqa: S104 - guests' ports are meant for the world
        device_requests=gpu_requests(plan.gpu_uuids) or None,
        mounts=_mounts(plan) or None,
        restart_policy={"Name": "no"},
        log_config=LogConfig(type="json-file", config={"max-size": LOG_FILE_SIZE, "max-file": LOG_FILES}),
        storage_opt={"size": f"{plan.disk_gb}G"} if disk_quota else None,
    )


def _mounts(plan: ContainerPlan) -> list[Mount]:
    """Without copying: what the client deleted from a volume must not come back from the image."""
    named = {**plan.volumes, **plan.client_volumes}
    own = [Mount(place, name, type="volume", no_copy=True) for place, name in named.items()]
    if not plan.tools_volume:
        return own
    return [*own, Mount(TOOLS_PLACE, plan.tools_volume, type="volume", read_only=True, no_copy=True)]


def _limits(plan: ContainerPlan, info: EngineInfo) -> dict[str, Any]:
    """The contract's share, clamped to what the engine really has: a simulated machine claims more than that."""
    ram_mb = max(_MIN_RAM_MB, min(plan.ram_mb, info.ram_mb))
    cpus = max(_MIN_CPUS, min(plan.cpu_cores, float(info.cpus)))
    return {
        "mem_limit": ram_mb * _MB,
        "memswap_limit": ram_mb * _MB,
        "nano_cpus": int(cpus * 1_000_000_000),
        "shm_size": max(_MIN_SHM_MB, min(plan.shm_mb, ram_mb)) * _MB,
        "pids_limit": plan.pids_limit,
        "ulimits": [Ulimit(name="core", soft=0, hard=0)],
    }
