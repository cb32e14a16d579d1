"""A host for tests with the real engine: an agent's process, its marketplace, an SSH key, and what the engine shows."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import docker
from docker.models.containers import Container
from docker.models.images import Image
from docker.models.volumes import Volume

from agent.engine.labels import OWNER_LABEL, TASK_LABEL
from agent.engine.types import (
    TOOLS_PLACE,
)
from agent.protocol import DesiredTask, PortMapping
from scripts.services.launching import free_port
from tests import images
from tests.agent.fakes import changed, task
from tests.agent.marketplace import TOKEN, Marketplace
from tests.agent.program import end, start

SSH_SECONDS = 20


class Host:
    """Use as a context; at its end agent and containers are gone. ``network`` leads there where it is not this one."""

    def __init__(
        self,
        directory: Path,
        engine: docker.DockerClient,
        network: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.engine = engine
        self._network = network
        self.state = directory / "state"
        self.key = directory / "key"
        self.known_hosts = directory / "known_hosts"
        self.market = Marketplace()
        self.environment: dict[str, str] = {}
        self.extra_options: list[str] = []
        self.local_registries = True
        self.output = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Host":
        with self._network():
            self.market.__enter__()
        self.make_key()
        return self

    def make_key(self) -> None:
        """An SSH key in the file that ``key`` names."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", self.key], check=True)

    def __exit__(self, *_: object) -> None:
        self.kill()
        print(self.output)  # noqa: T201 - shown where the test fails
        self.market.__exit__()
        volumes = [name for container in self._containers() for name in volumes_of(container)]
        unmount(self.engine, [*volumes, *(str(volume.name) for volume in self.client_volumes())])
        for container in self._containers():
            container.remove(force=True, v=True)
        for network in self.engine.networks.list(filters={"label": self._label}) if self._label else []:
            network.remove()
        for image in self.saved_disks():
            self.engine.images.remove(image.tags[0] if image.tags else str(image.id))
        for volume in self.engine.volumes.list():
            if volume.name in volumes:
                volume.remove()
        for volume in self.client_volumes():
            volume.remove()

    def start(self, *, kill_at: str = "never", firewall: bool = False) -> None:
        """Begin the agent's process; it dies at ``kill_at``."""
        options = ["--server", self.market.url, "--state-dir", str(self.state), "--simulate", "2x RTX 3090"]
        options += ["--token", TOKEN, *self.extra_options]
        if self.local_registries:
            options.append("--local-registries")
        if not firewall:
            options.append("--no-firewall")
        with self._network():
            self._process = start(kill_at, *options, module="tests.agent.killable", environment=self.environment)

    def end(self) -> None:
        """End the agent in an orderly way."""
        assert self._process is not None
        code, output = end(self._process)
        self._process = None
        self.output += output
        assert code == 0, output

    def kill(self) -> None:
        """End the agent as by kill -9."""
        if self._process is not None:
            self._process.kill()
            self.await_death()

    def await_death(self) -> None:
        """Wait until the agent has ended, by whatever cause."""
        assert self._process is not None
        output, _ = self._process.communicate(timeout=60)
        self.output += output
        self._process = None

    def task(self, task_id: int = 1, kind: images.Kind = "openssh", **changes: object) -> DesiredTask:
        """A task with this host's key, an image of that kind and a free port; all unless changed."""
        ports = [PortMapping(container_port=22, host_port=free_port(address="0.0.0.0"))]  # noqa: S104 - as the engine binds
        own: dict[str, object] = {
            "image": images.build(kind, self.engine),
            "authorized_keys": [self.public_key],
            "ports": ports,
            "stop_grace_seconds": 5,
        }
        return changed(task(task_id), **(own | changes))

    def args_task(self, script: str, task_id: int = 1, **changes: object) -> DesiredTask:
        """A task that runs a shell script as its own command."""
        own: dict[str, object] = {"mode": "args", "args": ["sh", "-c", script], "ports": []}
        return self.task(task_id, "nosshd", **(own | changes))

    @property
    def public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    @property
    def memories(self) -> Path:
        """Where the agent remembers its tasks."""
        return self.state / "tasks" / str(self.market.machine_id)

    def ssh(self, wish: DesiredTask, command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the task's container, over SSH as its client would, with ``text`` as its input."""
        port = ["-p", str(wish.spec.ports[0].host_port)]
        return self.client("ssh", *self.ssh_options, *port, "root@127.0.0.1", command, text=text)

    def client(self, program: str, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine's as the client would."""
        found = shutil.which(program)
        assert found is not None
        with self._network():
            return subprocess.run(
                [found, *arguments], capture_output=True, text=True, timeout=SSH_SECONDS, input=text, check=False
            )

    @property
    def ssh_options(self) -> list[str]:
        """For ssh, scp and sftp: key, known hosts, and no questions."""
        options = ["-i", str(self.key), "-o", "StrictHostKeyChecking=accept-new"]
        options += ["-o", f"UserKnownHostsFile={self.known_hosts}"]
        return [*options, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]

    def containers(self, task_id: int = 1) -> list[Container]:
        """All containers of the task, running or not."""
        return [one for one in self._containers() if one.labels[TASK_LABEL] == str(task_id)]

    def container(self, task_id: int = 1) -> Container:
        """The one container of the task."""
        (found,) = self.containers(task_id)
        return found

    def read(self, path: str, task_id: int = 1) -> str:
        """A file of the running container."""
        return self.execute("cat", path, task_id=task_id)

    def execute(self, *command: str, task_id: int = 1) -> str:
        """Output of a program run in the container beside its own; it has to succeed."""
        code, output = self.container(task_id).exec_run(list(command))
        assert isinstance(output, bytes)
        assert code == 0, output
        return output.decode()

    def saved_disks(self) -> list[Image]:
        """Images with what containers had on their disks, named or not."""
        if not self._label:
            return []
        ids = self.engine.api.images(filters={"label": self._label}, quiet=True)
        return [self.engine.images.get(image_id) for image_id in dict.fromkeys(ids)]

    def client_volumes(self) -> list[Volume]:
        """Those that clients rent."""
        return list(self.engine.volumes.list(filters={"label": self._label})) if self._label else []

    @property
    def _label(self) -> str:
        """Tells this agent's things from others'; empty before it has registered."""
        owner_file = self.state / "owner"
        return f"{OWNER_LABEL}={owner_file.read_text().strip()}" if owner_file.exists() else ""

    def _containers(self) -> list[Container]:
        if not self._label:
            return []
        return list(self.engine.containers.list(all=True, filters={"label": self._label}))


def unmount(engine: docker.DockerClient, volumes: list[str]) -> None:
    """Take from volumes the file systems that the agent gave them; the engine can't delete them before."""
    root = Path(engine.info()["DockerRootDir"]) / "volumes"
    for name in volumes:
        subprocess.run(["umount", root / name], capture_output=True, check=False)


def volumes_of(container: Container) -> list[str]:
    """Names of a container's own volumes."""
    own = [mount for mount in container.attrs["Mounts"] if mount["Destination"] != TOOLS_PLACE]
    return [mount["Name"] for mount in own if mount["Type"] == "volume"]
