"""How much of a machine a container of k GPUs gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from agent.protocol import ContainerSpec, JupyterSpec, PortMapping
from agent.sandbox_protocol import Sandbox
from agent.volume_protocol import VolumeMount
from hosting.domain.sandboxes import NONE

PIDS_LIMIT = 8192
SHM_SHARE_OF_RAM = 2
"""Shared memory may take one half of the container's RAM: data loaders of deep-learning frameworks live on it."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a machine: ``gpus`` of its ``gpu_count`` GPUs and the same part of its CPU and RAM."""

    gpus: int
    gpu_count: int
    cpu_cores: int
    ram_mb: int
    down_mbps: float = 0.0
    up_mbps: float = 0.0
    """Of the machine's line, which all guests share and none may exceed, in megabits a second; 0 is unknown."""

    @property
    def share_cores(self) -> float:
        """Logical cores of the slice."""
        return self.cpu_cores * self.gpus / self.gpu_count

    @property
    def share_ram_mb(self) -> int:
        """Memory of the slice."""
        return self.ram_mb * self.gpus // self.gpu_count


@dataclass(frozen=True)
class Jupyter:
    """JupyterLab, else Notebook, and the directory that it shows."""

    lab: bool
    directory: str


def container_spec(
    *,
    part: Slice,
    hostname: str,
    image: str,
    mode: str,
    args: list[str],
    entrypoint: str,
    env: dict[str, str],
    onstart: str,
    disk_gb: int,
    ports: list[tuple[int, int, str]],
    network: Literal["guests", "none"] = "guests",
    result_bytes: int = 0,
    jupyter: Jupyter | None = None,
    volumes: Sequence[tuple[int, str]] = (),
    sandbox: str = NONE,
) -> ContainerSpec:
    """The agent's order for a container; ``ports`` are (container port, host port, protocol), ``volumes`` (id, path).

    To an agent, mode jupyter is ssh with ``jupyter`` besides.
    """
    return ContainerSpec(
        image=image,
        mode="args" if mode == "args" else "ssh",
        args=args,
        entrypoint=entrypoint or None,
        env=env,
        onstart=onstart,
        hostname=hostname,
        cpu_cores=part.share_cores,
        ram_mb=part.share_ram_mb,
        shm_mb=part.share_ram_mb // SHM_SHARE_OF_RAM,
        disk_gb=disk_gb,
        pids_limit=PIDS_LIMIT,
        ports=[
            PortMapping(container_port=inside, host_port=outside, protocol="udp" if protocol == "udp" else "tcp")
            for inside, outside, protocol in ports
        ],
        network=network,
        result_bytes=result_bytes,
        jupyter=JupyterSpec(lab=jupyter.lab, directory=jupyter.directory) if jupyter is not None else None,
        volumes=[VolumeMount(volume_id=volume_id, path=path) for volume_id, path in volumes],
        down_mbps=part.down_mbps,
        up_mbps=part.up_mbps,
        sandbox=msgspec.convert(sandbox, Sandbox),
    )
