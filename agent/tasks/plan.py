"""From a desired task to the container that is to be made for it."""

import shlex
from dataclasses import dataclass, replace

from agent.engine.labels import GPUS_LABEL, OWNER_LABEL, SANDBOX_LABEL, TASK_LABEL
from agent.engine.lines import Line
from agent.engine.types import (
    ContainerPlan,
    DiskName,
)
from agent.engine.volume_types import CLIENT_VOLUME_PREFIX, VOLUME_LABEL
from agent.guest.files import START_COMMAND, boot_environment
from agent.protocol import ContainerSpec, DesiredTask
from agent.tasks.memory import SavedDisk

MACHINE_LABEL = "spotyard.machine"
SSH_PORT = 22
_KBIT_PER_MBIT = 1000
_MOST_KEY_CHARS = 32_768
"""Of all keys together in one variable; for more of them there is the file."""


@dataclass(frozen=True)
class Identity:
    """Which machine an agent speaks for."""

    machine_id: int
    boot_id: str
    simulated: bool

    @property
    def owner(self) -> str:
        """Marks this agent's containers. A new state directory never takes an old one's containers for its own."""
        return f"{self.machine_id}-{self.boot_id[:8]}"


def container_name(identity: Identity, task_id: int) -> str:
    """The same for a task at all times, so the engine itself rules out a second container."""
    return f"spotyard-{identity.machine_id}-{task_id}-{identity.boot_id[:8]}"


def volume_name(identity: Identity, volume_id: int) -> str:
    """The same for a client's volume at all times, so it can't be made twice."""
    return f"{CLIENT_VOLUME_PREFIX}{identity.machine_id}-{volume_id}-{identity.boot_id[:8]}"


def volume_labels(identity: Identity, volume_id: int) -> dict[str, str]:
    """Whose volume it is, and which."""
    return {OWNER_LABEL: identity.owner, MACHINE_LABEL: str(identity.machine_id), VOLUME_LABEL: str(volume_id)}


def disk_name(identity: Identity, task_id: int) -> DiskName:
    """Which images are this task's saved disks."""
    return DiskName(
        repository=f"spotyard-disk/{container_name(identity, task_id)}".lower(),
        labels=_task_labels(identity, task_id),
    )


def disk_image(identity: Identity, task: DesiredTask, container_id: str, noted: str = "") -> str:
    """Image of a container's disk: another one for each container and each run that it moves for.

    Never the one ``noted``, which must stay until this one has taken its place.
    """
    image = f"{disk_name(identity, task.task_id).repository}:{task.run_generation}-{container_id[:12]}"
    return image if image != noted else f"{image}-again"


def assigned_gpus(identity: Identity, task: DesiredTask) -> list[str]:
    """UUIDs of the GPUs the container gets; a simulated machine has none to give."""
    return [] if identity.simulated else task.gpu_uuids


def container_plan(identity: Identity, task: DesiredTask) -> ContainerPlan:
    """Everything about the container, from the task and from what is the same for all."""
    spec = task.spec
    ssh = spec.mode == "ssh"
    return ContainerPlan(
        name=container_name(identity, task.task_id),
        image=spec.image,
        hostname=spec.hostname,
        user="0" if ssh else None,
        stop_signal="SIGTERM" if ssh else None,
        open_stdin=not ssh,
        entrypoint=START_COMMAND if ssh else _entrypoint(spec),
        command=[] if ssh else spec.args,
        environment=_environment(task),
        labels={
            MACHINE_LABEL: str(identity.machine_id),
            **_task_labels(identity, task.task_id),
            GPUS_LABEL: ",".join(sorted(task.gpu_uuids)),
            **({} if spec.sandbox == "none" else {SANDBOX_LABEL: spec.sandbox}),
        },
        ports=spec.ports,
        gpu_uuids=assigned_gpus(identity, task),
        cpu_cores=spec.cpu_cores,
        ram_mb=spec.ram_mb,
        shm_mb=spec.shm_mb,
        pids_limit=spec.pids_limit,
        disk_gb=spec.disk_gb,
        reserves_disk=not identity.simulated,
        network="none" if spec.network == "none" else container_name(identity, task.task_id),
        line=Line(down_kbit=round(spec.down_mbps * _KBIT_PER_MBIT), up_kbit=round(spec.up_mbps * _KBIT_PER_MBIT)),
        sandbox=spec.sandbox,
        client_volumes={mount.path: volume_name(identity, mount.volume_id) for mount in spec.volumes},
    )


def on_saved_disk(plan: ContainerPlan, disk: SavedDisk) -> ContainerPlan:
    """The same container, but with what an earlier one has left on its disk."""
    stale = dict.fromkeys(disk.given_names)
    return replace(plan, image=disk.image, volumes=disk.volumes, environment={**stale, **plan.environment})


def ssh_endpoint(task: DesiredTask, container_address: str) -> tuple[str, int]:
    """Where the container's SSH server is reached from this machine."""
    published = (
        port.host_port for port in task.spec.ports if port.container_port == SSH_PORT and port.protocol == "tcp"
    )
    host_port = next(published, None)
    return ("127.0.0.1", host_port) if host_port is not None else (container_address, SSH_PORT)


def _task_labels(identity: Identity, task_id: int) -> dict[str, str]:
    return {OWNER_LABEL: identity.owner, TASK_LABEL: str(task_id)}


def _entrypoint(spec: ContainerSpec) -> list[str] | None:
    """A program, or a program with its first arguments."""
    if not spec.entrypoint:
        return None
    try:
        return shlex.split(spec.entrypoint) or None
    except ValueError:
        return [spec.entrypoint]


def _environment(task: DesiredTask) -> dict[str, str]:
    """The client's variables, above what every guest is told about itself."""
    ports = {
        f"VAST_{port.protocol.upper()}_PORT_{port.container_port}": str(port.host_port) for port in task.spec.ports
    }
    boot = (
        boot_environment(task.spec.onstart, task.authorized_keys, task.spec.jupyter) if task.spec.mode == "ssh" else {}
    )
    keys = "\n".join(task.authorized_keys)
    own = {"SSH_PUBLIC_KEY": keys} if 0 < len(keys) <= _MOST_KEY_CHARS else {}
    return {"VAST_CONTAINERLABEL": task.label, **ports, **task.spec.env, **own, **boot}
