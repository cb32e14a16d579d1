"""What the agent needs of a container engine, free of any one engine's own types."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from agent.engine.image_types import ImageEngine
from agent.engine.lines import NO_LIMIT, Line
from agent.engine.runtime_types import EngineRuntime
from agent.engine.usage_types import ContainerUsage
from agent.engine.volume_types import VolumeEngine
from agent.protocol import FailureReason, PortMapping, RegistryLogin
from agent.sandbox_protocol import Sandbox

NEVER = "0001-01-01T00:00:00Z"
"""The engine's timestamp for "has not happened"."""

TOOLS_PLACE = "/.spotyard/tools"
"""Where containers have the guest tools. What is mounted there belongs to all of them and is never a task's own."""

Ending = Literal["", "time", "flood", "stop"]
"""What ended a command before its own end; empty for nothing."""

Status = Literal["created", "running", "exited", "removing"]


class EngineDownError(Exception):
    """The engine can't be reached; says why in plain words. Nothing is known of what became of the call."""


class ContainerGoneError(Exception):
    """The container named in a call does not exist."""


class ImageMissingError(Exception):
    """The engine has no image of that name yet."""


class VolumeMissingError(Exception):
    """A volume that a container is to be given does not exist."""


class NameTakenError(Exception):
    """A container of that name exists already."""


class TaskError(Exception):
    """The engine refused what a task asked for; ``message`` is a sentence for the client."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason
        self.message = message


@dataclass(frozen=True, kw_only=True)
class ContainerFacts:
    """One container as the engine describes it. Times are the engine's own RFC 3339 strings."""

    container_id: str
    status: Status
    started_at: str = NEVER
    finished_at: str = NEVER
    exit_code: int = 0
    out_of_memory: bool = False
    pid: int = 0
    address: str = ""
    """Its address on the agent's network, while it runs."""
    ended_with_engine: bool = False
    """It ran until the engine, or the whole machine, went down."""
    gpus: frozenset[str] | None = None
    """The GPUs it was made for; None where an agent that did not note them made it."""


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """The engine itself."""

    version: str
    cpus: int
    ram_mb: int
    data_root: str
    """Directory that holds images and containers, where it can be seen from here."""
    runtimes: tuple[EngineRuntime, ...] = ()
    seccomp: bool = True
    """Containers run with the engine's own profile."""
    user_namespaces: bool = False
    """Root in a container is an ordinary user outside."""


@dataclass(frozen=True, kw_only=True)
class ContainerPlan:
    """Everything decided about a container before it is created."""

    name: str
    image: str
    hostname: str
    user: str | None
    stop_signal: str | None
    """None for the image's own."""
    open_stdin: bool
    """Keep standard input open though nothing will come, so that a bare shell as command does not end at once."""
    entrypoint: list[str] | None
    command: list[str]
    environment: Mapping[str, str | None]
    """None takes a variable of the image's away."""
    labels: dict[str, str]
    ports: list[PortMapping]
    gpu_uuids: list[str]
    cpu_cores: float
    ram_mb: int
    shm_mb: int
    pids_limit: int
    disk_gb: int
    reserves_disk: bool
    """All of it is kept free on the host's disk from the beginning. A simulated machine has no such disk."""
    network: str
    """Its own name for a network of its own, or "none"."""
    line: Line = NO_LIMIT
    sandbox: Sandbox = "none"
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Names of existing volumes by the directory each is mounted on."""
    client_volumes: Mapping[str, str] = field(default_factory=dict)
    """Volumes that clients rent, likewise."""
    tools_volume: str = ""
    """A volume that is mounted on TOOLS_PLACE besides, read-only; empty for none."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a container has written beside its volumes; sizes in megabytes."""

    used_mb: int
    whole_mb: int
    """With all that lies below it, more than once where it was written more than once."""
    image_mb: int
    """Size of the image it was made from."""
    stacked_high: bool
    """There is hardly room for another layer above it."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """An image made of a container's disk."""

    size_mb: int
    given_names: list[str]
    """Variables in it that were given to containers and are not the original image's."""


@dataclass(frozen=True, kw_only=True)
class DiskName:
    """Which images are saved disks of one task."""

    repository: str
    labels: Mapping[str, str]
    """Of the task's containers; an image saved from one has them too."""


@dataclass(frozen=True)
class Owned:
    """A container's labels and coarse state: whose it is, which task, and whether it runs."""

    owner: str
    task_id: int
    running: bool


@dataclass(frozen=True)
class EngineEvent:
    """Something happened to a container of ``owner``."""

    owner: str
    task_id: int


@dataclass
class PullWatch:
    """Lets a caller follow a pull and give it up."""

    on_progress: Callable[[float], None] = field(default=lambda _share: None)
    abandoned: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True, kw_only=True)
class LogTail:
    """The end of what a container has written to its standard output and error, over all its runs."""

    content: bytes
    was_cut: bool


class LogStream(Protocol):
    """What a container has written lately and goes on writing; ``close`` ends the iteration, from any thread."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Command:
    """A shell command for a container, and its limits. ``stop`` tells now and then whether it has to end."""

    text: str
    seconds: float
    most_output_bytes: int
    """Kept of its output: so much of the beginning and of the end together."""
    stop: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True, kw_only=True)
class CommandOutcome:
    """What came of a command; ``ended_by`` says why it was ended before its own end, where it was."""

    exit_code: int | None
    output: bytes
    dropped_bytes: int = 0
    """Taken out of the middle of the output."""
    ended_by: Ending = ""


@dataclass(frozen=True, kw_only=True)
class DiskParts:
    """Where the host keeps what a stopped container has on its disk, for who can mount it (see ``agent/disk``)."""

    lower: list[str]
    """Directories of the layers below, the uppermost first."""
    upper: str
    work: str
    volumes: Mapping[str, str]
    """Directories of its volumes by where they are mounted."""


class Attached(Protocol):
    """A program in a container. ``close`` may be called from any thread and ends the conversation, and with it a
    program that waits for input or has something to say."""

    def send(self, content: bytes) -> None:
        """To its standard input. Raises ``OSError`` where the program is gone."""

    def end_input(self) -> None:
        """Nothing more will come."""

    def output(self) -> Iterator[tuple[bool, bytes]]:
        """Pieces of what it writes, each with whether it is standard output, or else standard error; to its end."""

    def exit_code(self, wait_seconds: float) -> int | None:
        """None while it runs, as long as it may take the engine to notice its end."""

    def close(self) -> None: ...


PutArchive = Callable[[str, Iterator[bytes]], None]
"""Unpacks a tar archive in a directory."""


class Engine(VolumeEngine, ImageEngine, Protocol):
    """All methods may raise ``EngineDownError``; those that act on a task also ``TaskError``."""

    def info(self) -> EngineInfo: ...

    def sweep_networks(self) -> None:
        """Remove guests' networks that were left behind."""

    def owned(self) -> list[Owned]:
        """All containers any agent of this host made."""

    def find(self, name: str) -> ContainerFacts | None: ...

    def create(self, plan: ContainerPlan) -> str:
        """Returns the new container's id.

        Raises ``ImageMissingError``, ``VolumeMissingError``, ``NameTakenError``.
        """

    def put_files(self, container_id: str, archive: bytes) -> None:
        """Unpack a tar archive at the container's root. Raises ``ContainerGoneError``."""

    def start(self, container_id: str) -> None:
        """Does nothing where it runs already. Raises ``ContainerGoneError``."""

    def stop(self, container_id: str, grace_seconds: int) -> None:
        """SIGTERM, then SIGKILL after the grace; does nothing where it does not run. Raises ``ContainerGoneError``."""

    def remove(self, container_id: str, *, keep_volumes: bool = False) -> None:
        """Kill and delete, with its anonymous volumes unless told; does nothing where it is gone."""

    def traces(self, name: str, disk: DiskName, container_id: str, volumes: list[str]) -> list[str]:
        """What is still there, in words, of the container of this name and id, its saved disks, its own disk, these
        volumes, and its network, which are tried once more to be removed; empty when nothing is."""

    def last_line(self, container_id: str, most_bytes: int) -> str:
        """The last line of a container's standard output that is not empty, without its end.

        Empty where there is none, or where as a JSON string it is longer than this. Raises ``ContainerGoneError``.
        """

    def log_tail(self, container_id: str, most_bytes: int) -> LogTail:
        """Raises ``ContainerGoneError``."""

    def follow_log(self, container_id: str, tail_lines: int) -> LogStream:
        """The last lines and what comes; ends with the container's run. Raises ``ContainerGoneError``."""

    def run_command(self, container_id: str, command: Command) -> CommandOutcome:
        """By the shell of the running container, as root, with the container's own limits and rights.

        Raises ``ContainerGoneError``; ``TaskError`` (no_shell) where it has none, or does not run.
        """

    def attach(self, container_id: str, command: list[str], environment: Mapping[str, str]) -> Attached:
        """Begin a program in a running container, as root, to be spoken with.

        Raises ``ContainerGoneError``; ``TaskError`` where it does not run.
        """

    def image_archive(self, image: str) -> Iterator[bytes]:
        """All of an image, layer by layer, as ``load_image`` takes it."""

    def load_image(self, archive: Iterator[bytes], loaded: str, name: str) -> None:
        """Take in what is called ``loaded`` in an archive, and give it another name instead."""

    def directory_archive(self, container_id: str, directory: str) -> Iterator[bytes]:
        """What a container has in a directory, volumes too, as tar. Raises ``ContainerGoneError``."""

    def fill_volumes(self, image: str, volumes: Mapping[str, str], fill: Callable[[PutArchive], None]) -> None:
        """Make volumes, empty whatever was in them; ``fill`` is lent a way to unpack archives where each is mounted.

        ``volumes`` are their names by directory, as containers of this image will have them.
        """

    def disk_parts(self, container_id: str) -> DiskParts | None:
        """None where the engine keeps disks in another way than the overlay driver. Raises ``ContainerGoneError``."""

    def volumes(self, container_id: str) -> dict[str, str]:
        """Names of the container's volumes by where they are mounted. Raises ``ContainerGoneError``."""

    def layer(self, container_id: str) -> Layer:
        """Raises ``ContainerGoneError``."""

    def save_disk(self, container_id: str, image: str, given_names: list[str], *, as_one: bool = False) -> Saved:
        """Make what a container that does not run has on its disk, but for its volumes, an image that otherwise is as
        the one it was made from. One of that name is replaced.

        ``given_names`` are those of the image it was made from. ``as_one`` makes it a single layer of what there is
        now, which copies all of it, not only what the container has written. Raises ``ContainerGoneError``.
        """

    def has_image(self, image: str) -> bool:
        """Whether there is an image of that name."""

    def drop_disks(self, disk: DiskName, keep: str = "") -> None:
        """Delete all images saved for a task but ``keep``."""

    def drop_volumes(self, names: list[str]) -> None:
        """Delete volumes; those that are gone don't matter."""

    def pull(self, image: str, watch: PullWatch, login: RegistryLogin | None = None) -> None:
        """Fetch from the registry, which is asked even where the image is here already.

        Returns early when abandoned.
        """

    def disk_used_mb(self, container_id: str) -> int:
        """Size of what the container has written to its own layer and to its volumes. Raises ``ContainerGoneError``."""

    def usage(self, container_id: str) -> ContainerUsage:
        """What a running container uses now. Raises ``ContainerGoneError``."""

    def content_mb(self, container_id: str, base_mb: int) -> int | None:
        """What a running container has now on its disk beyond ``base_mb``, and in its volumes.

        Walks over all of it. None where that is not seen from here. Raises ``ContainerGoneError``.
        """

    def tools_volume(self, digest: str) -> str | None:
        """Name of the volume with the guest tools of this digest, complete; None where there is none."""

    def stage_tools(self, digest: str, archive: Path) -> str:
        """Unpack a tar archive into a new volume; what it is called until ``publish_tools``."""

    def publish_tools(self, digest: str, staged: str) -> str:
        """Make a staged volume the one of its digest, unless another was quicker; that one's name."""

    def drop_tools(self, keep: str) -> None:
        """Delete the volumes of other digests than this that no container uses, and what was never published."""

    def read_files(self, container_id: str, directory: str, most_bytes: int) -> dict[str, bytes]:
        """Contents of the plain files in a container's directory by their names; empty where there is none.

        Nothing is returned of files that are longer altogether. Raises ``ContainerGoneError``.
        """

    def events(self) -> Iterator[EngineEvent]:
        """Blocks; ends or raises ``EngineDownError`` when the engine goes away."""
