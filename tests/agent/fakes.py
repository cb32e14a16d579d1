"""Stand-ins: an engine in memory, a pool that runs jobs when told to, and tasks to play with."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from agent.engine.image_types import FoundImage, ImageFacts
from agent.engine.references import repository_of
from agent.engine.runtime_types import EngineRuntime
from agent.engine.sandboxes import runtime_for
from agent.engine.timestamps import instant
from agent.engine.types import (
    Attached,
    Command,
    CommandOutcome,
    ContainerFacts,
    ContainerGoneError,
    ContainerPlan,
    DiskName,
    DiskParts,
    EngineDownError,
    EngineEvent,
    EngineInfo,
    ImageMissingError,
    Layer,
    LogStream,
    LogTail,
    NameTakenError,
    Owned,
    PullWatch,
    PutArchive,
    Saved,
    TaskError,
    VolumeMissingError,
)
from agent.engine.usage_types import ContainerUsage
from agent.pool import Job, Pool
from agent.protocol import ContainerSpec, DesiredTask, PortMapping, RegistryLogin
from agent.tasks.admission import FreeImages
from agent.tasks.memory import MemoryStore, TrafficStore
from agent.tasks.plan import Identity
from agent.tasks.reconciler import Reconciler
from agent.tasks.tools import Checkpoint, Tools, no_checkpoint, no_log_keeper, no_volume

IDENTITY = Identity(7, "0123456789abcdef", simulated=True)


class ProcessKilledError(BaseException):
    """The agent ended here, as by SIGKILL."""


def task(task_id: int = 1, **changes: object) -> DesiredTask:
    """An ssh-mode task that should run; ``changes`` to the task or, for names it does not have, to its spec."""
    spec = ContainerSpec(
        image="image:1",
        mode="ssh",
        args=[],
        entrypoint=None,
        env={"GREETING": "hello"},
        onstart="",
        hostname=f"C.{task_id}",
        cpu_cores=1.0,
        ram_mb=256,
        shm_mb=16,
        disk_gb=5,
        pids_limit=256,
        ports=[PortMapping(container_port=22, host_port=23000 + task_id)],
    )
    desired = DesiredTask(
        task_id=task_id,
        label=f"C.{task_id}",
        state="running",
        run_generation=1,
        gpu_uuids=["GPU-1"],
        spec=spec,
        authorized_keys=["ssh-ed25519 AAAA me"],
        stop_grace_seconds=3,
    )
    return changed(desired, **changes)


def changed(desired: DesiredTask, **changes: object) -> DesiredTask:
    """A copy of the task with other fields, its own or its spec's."""
    own = {name: value for name, value in changes.items() if name in DesiredTask.__struct_fields__}
    of_spec = {name: value for name, value in changes.items() if name not in own}
    spec = msgspec.structs.replace(desired.spec, **of_spec)
    return msgspec.structs.replace(desired, spec=spec, **own)


class ManualPool(Pool):
    """Runs jobs in the caller's thread, when ``run`` is called."""

    def __init__(self) -> None:
        super().__init__(0, "manual")
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def run(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()


class FakeStream(list[bytes]):
    """A log that ends at once."""

    def close(self) -> None:
        """Nothing to end."""


def short_id(image: str) -> str:
    """The beginning of the id of a fake engine's image."""
    return hashlib.sha256(image.encode()).hexdigest()[:12]


@dataclass
class FakeEngine:
    """Keeps containers in a dictionary. ``interrupt`` is called before and after each change, and may raise.

    ``written`` is what is on each container's disk: the start of each run on it; ``images`` keep that of the one they
    were saved from. Each container has a volume, ``/data``.
    """

    images: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"image:1": ()})
    lent: dict[str, str] = field(default_factory=lambda: {"image:1": "image"})
    """What their labels say."""
    pullable: set[str] = field(default_factory=set)
    image_bytes: int = 0
    refused: set[str] = field(default_factory=set)
    """Images that no registry has."""
    guarded: dict[str, RegistryLogin] = field(default_factory=dict)
    """Images that their registry gives to this login only."""
    pulls: list[tuple[str, RegistryLogin | None]] = field(default_factory=list)
    containers: dict[str, ContainerFacts] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mounted: dict[str, dict[str, str]] = field(default_factory=dict)
    existing_volumes: set[str] = field(default_factory=set)
    client_volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Labels of the volumes that clients rent."""
    volume_error: Exception | None = None
    volume_sizes: dict[str, int] = field(default_factory=dict)
    """Megabytes in them, where that can be seen."""
    plans: list[ContainerPlan] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    graces: list[int] = field(default_factory=list)
    network_sweeps: int = 0
    left: str = ""
    """Something that a removal does not get rid of."""
    runtimes: tuple[EngineRuntime, ...] = ()
    ran_in: dict[str, str | None] = field(default_factory=dict)
    """The runtime that each container was made for."""
    start_error: Exception | None = None
    used_mb: int = 0
    whole_mb: int | None = None
    cpu_seconds: float = 0.0
    ram_mb: int = 100
    saved: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    most_saved: int = 100
    save_error: Exception | None = None
    drop_error: Exception | None = None
    down: bool = False
    output: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    """Volumes with guest tools by their digests."""
    staged_tools: dict[str, bytes] = field(default_factory=dict)
    """What was unpacked into each volume, published or not."""
    tools_error: Exception | None = None
    told: dict[str, bytes] = field(default_factory=dict)
    """Files in each container's report."""
    reads: int = 0
    log: bytes = b""
    log_error: Exception | None = None
    commands: list[str] = field(default_factory=list)
    interrupt: Callable[[str], None] = lambda _name: None
    _ticks: int = 0

    def info(self) -> EngineInfo:
        self._check()
        return EngineInfo(version="1.0", cpus=4, ram_mb=8192, data_root="/", runtimes=self.runtimes)

    def sweep_networks(self) -> None:
        self._check()
        self.network_sweeps += 1

    def owned(self) -> list[Owned]:
        self._check()
        return [
            Owned(labels["spotyard.owner"], int(labels["spotyard.task"]), self.containers[name].status == "running")
            for name, labels in self.labels.items()
        ]

    def find(self, name: str) -> ContainerFacts | None:
        self._check()
        return self.containers.get(name)

    def create(self, plan: ContainerPlan) -> str:
        self._check()
        self.interrupt("before create")
        if plan.name in self.containers:
            raise NameTakenError(plan.name)
        image = self._named(plan.image)
        if image is None:
            raise ImageMissingError(plan.image)
        if missing := set(plan.volumes.values()) - self.existing_volumes:
            raise VolumeMissingError(*missing)
        if set(plan.client_volumes.values()) - set(self.client_volumes):
            raise TaskError("volume_missing", "A volume is lost.")
        self.ran_in[plan.name] = runtime_for(plan, self.info())
        container_id = f"id{len(self.plans) or ''}-{plan.name}"
        gpus = frozenset(filter(None, plan.labels["spotyard.gpus"].split(",")))
        self.containers[plan.name] = ContainerFacts(container_id=container_id, status="created", gpus=gpus)
        self.plans.append(plan)
        self.labels[plan.name] = plan.labels
        self.written[plan.name] = self.images[image]
        self.mounted[plan.name] = dict(plan.volumes) or {"/data": f"volume{len(self.plans)}"}
        self.existing_volumes |= set(self.mounted[plan.name].values())
        self.interrupt("after create")
        return container_id

    def put_files(self, container_id: str, archive: bytes) -> None:
        self._name(container_id)
        self.interrupt("before put_files")
        self.files.append(archive)

    def start(self, container_id: str) -> None:
        name = self._name(container_id)
        self.interrupt("before start")
        if self.start_error is not None:
            raise self.start_error
        if self.containers[name].status != "running":
            self.starts.append(name)
            self.written[name] += (f"start {len(self.starts)}",)
            self.change(name, status="running", started_at=self.now(), pid=1, address="10.0.0.2")
        self.interrupt("after start")

    def stop(self, container_id: str, grace_seconds: int) -> None:
        name = self._name(container_id)
        self.graces.append(grace_seconds)
        self.interrupt("before stop")
        if self.containers[name].status == "running":
            self.end(name, exit_code=143)
        self.interrupt("after stop")

    def remove(self, container_id: str, *, keep_volumes: bool = False) -> None:
        self._check()
        self.interrupt("before remove")
        name = container_id.partition("-")[2]
        if self.containers.pop(name, None):
            self.removed.append(name)
            del self.labels[name]
            # As with Docker, volumes that a container was given are not deleted with it.
            named = self.plans[-1].volumes if self.plans else {}
            if not keep_volumes and not named:
                self.existing_volumes -= set(self.mounted[name].values())
        self.interrupt("after remove")

    def last_line(self, container_id: str, most_bytes: int) -> str:
        self._name(container_id)
        self.interrupt("before last_line")
        return self.output if len(self.output) + 2 <= most_bytes else ""

    def log_tail(self, container_id: str, most_bytes: int) -> LogTail:
        self._name(container_id)
        self.interrupt("before log_tail")
        if self.log_error is not None:
            raise self.log_error
        return LogTail(content=self.log[-most_bytes:], was_cut=len(self.log) > most_bytes)

    def follow_log(self, container_id: str, tail_lines: int) -> LogStream:
        self._name(container_id)
        return FakeStream(self.log.splitlines(keepends=True)[-tail_lines:])

    def run_command(self, container_id: str, command: Command) -> CommandOutcome:
        self._name(container_id)
        self.interrupt("before run_command")
        self.commands.append(command.text)
        self.interrupt("after run_command")
        return CommandOutcome(exit_code=0, output=f"ran {command.text}\n".encode())

    def attach(self, container_id: str, command: list[str], environment: Mapping[str, str]) -> Attached:
        raise NotImplementedError

    def image_archive(self, image: str) -> Iterator[bytes]:
        yield ",".join(self.images[image]).encode()

    def load_image(self, archive: Iterator[bytes], loaded: str, name: str) -> None:
        assert loaded
        self.images[name] = tuple(b"".join(archive).decode().split(","))

    def drop_image(self, image: str) -> None:
        self.images.pop(image, None)

    def list_images(self) -> list[ImageFacts]:
        self._check()
        return [ImageFacts(image_id=name, names=frozenset({name}), size_bytes=0, in_use=False) for name in self.images]

    def image_id(self, image: str) -> str | None:
        self._check()
        return image if image in self.images else None

    def directory_archive(self, container_id: str, directory: str) -> Iterator[bytes]:
        self._name(container_id)
        yield directory.encode()

    def fill_volumes(self, image: str, volumes: Mapping[str, str], fill: Callable[[PutArchive], None]) -> None:
        assert image in self.images
        self.existing_volumes |= set(volumes.values())

        def put(_directory: str, archive: Iterator[bytes]) -> None:
            assert list(archive)

        fill(put)

    def disk_parts(self, container_id: str) -> DiskParts | None:
        self._name(container_id)
        return None

    def volumes(self, container_id: str) -> dict[str, str]:
        return self.mounted[self._name(container_id)]

    def layer(self, container_id: str) -> Layer:
        self._name(container_id)
        return Layer(
            used_mb=self.used_mb,
            whole_mb=self.used_mb + 10,
            image_mb=10,
            stacked_high=len(self.saved) >= self.most_saved,
        )

    def save_disk(self, container_id: str, image: str, given_names: list[str], *, as_one: bool = False) -> Saved:
        name = self._name(container_id)
        assert self.containers[name].status != "running"
        self.interrupt("before save_disk")
        self.images.pop(image, None)
        if self.save_error is not None:
            raise self.save_error
        self.images[image] = self.written[name]
        self.saved.append(image)
        self.merged += [image] if as_one else []
        self.interrupt("after save_disk")
        given = [] if as_one else sorted({*given_names, *self.plans[-1].environment})
        return Saved(size_mb=self.whole_mb or 10, given_names=given)

    def has_image(self, image: str) -> bool:
        self._check()
        return image in self.images

    def traces(self, name: str, disk: DiskName, container_id: str, volumes: list[str]) -> list[str]:
        self._check()
        saved = [image for image in self.images if image.startswith(f"{disk.repository}:")]
        volumes_left = [volume for volume in volumes if container_id and volume in self.left]
        found = {
            "container": name in self.containers,
            "saved disks": saved,
            "volumes": volumes_left,
            "other": self.left,
        }
        return [kind for kind, left in found.items() if left]

    def drop_disks(self, disk: DiskName, keep: str = "") -> None:
        self._check()
        self.interrupt("before drop_disks")
        if self.drop_error is not None:
            raise self.drop_error
        for image in list(self.images):
            if image.startswith(f"{disk.repository}:") and image != keep:
                del self.images[image]
        self.interrupt("after drop_disks")

    def drop_volumes(self, names: list[str]) -> None:
        self._check()
        self.interrupt("before drop_volumes")
        held = {name for plan in self.plans if plan.name in self.containers for name in plan.client_volumes.values()}
        if held & set(names) or any(name in volumes.values() for volumes in self._mounts() for name in names):
            raise TaskError("engine_error", "The volume is in use.")
        self.existing_volumes -= set(names)
        for name in names:
            self.client_volumes.pop(name, None)
        self.interrupt("after drop_volumes")

    def _mounts(self) -> list[dict[str, str]]:
        return [self.mounted[name] for name in self.containers]

    def make_volume(self, name: str, labels: Mapping[str, str], size_gb: int, *, reserved: bool) -> None:
        self._check()
        assert size_gb > 0
        assert not reserved, "a simulated machine's"
        self.interrupt("before make_volume")
        if self.volume_error is not None:
            raise self.volume_error
        self.client_volumes.setdefault(name, dict(labels))
        self.interrupt("after make_volume")

    def volume_names(self, label: str) -> set[str]:
        self._check()
        key, _, value = label.partition("=")
        return {name for name, labels in self.client_volumes.items() if labels.get(key) == value}

    def volume_used_mb(self, name: str) -> int | None:
        self._check()
        return self.volume_sizes.get(name)

    def found_image(self, image: str) -> FoundImage | None:
        self._check()
        name = self._named(image)
        if name is None:
            return None
        repositories = frozenset({repository_of(name)})
        return FoundImage(
            image_id=name, repositories=repositories, lent_as=self.lent.get(name, ""), size_bytes=self.image_bytes
        )

    def _named(self, image: str) -> str | None:
        """The image that has this name, or of whose id this is the beginning."""
        return image if image in self.images else next((one for one in self.images if short_id(one) == image), None)

    def pull(self, image: str, watch: PullWatch, login: RegistryLogin | None = None) -> None:
        self._check()
        self.pulls.append((image, login))
        watch.on_progress(0.5)
        if image in self.guarded and login != self.guarded[image]:
            raise TaskError("image_missing", "The registry refuses.")
        if image in self.refused:
            raise TaskError("image_missing", "The registry has no such image.")
        if image not in self.pullable:
            raise AssertionError(f"{image} can't be pulled here")
        self.images[image] = ()
        self.interrupt("after pull")

    def disk_used_mb(self, container_id: str) -> int:
        self._name(container_id)
        return self.used_mb

    def usage(self, container_id: str) -> ContainerUsage:
        self._name(container_id)
        return ContainerUsage(cpu_seconds=self.cpu_seconds, ram_used_mb=self.ram_mb, ram_limit_mb=256)

    def content_mb(self, container_id: str, base_mb: int) -> int | None:
        self._name(container_id)
        return None if self.whole_mb is None else self.whole_mb - base_mb

    def tools_volume(self, digest: str) -> str | None:
        self._check()
        return self.tools.get(digest)

    def stage_tools(self, digest: str, archive: Path) -> str:
        self._check()
        self.interrupt("before stage_tools")
        if self.tools_error is not None:
            raise self.tools_error
        name = f"tools{len(self.staged_tools)}-{digest[:4]}"
        self.staged_tools[name] = archive.read_bytes()
        self.interrupt("after stage_tools")
        return name

    def publish_tools(self, digest: str, staged: str) -> str:
        self._check()
        self.interrupt("before publish_tools")
        name = self.tools.setdefault(digest, staged)
        self.interrupt("after publish_tools")
        return name

    def drop_tools(self, keep: str) -> None:
        self._check()
        self.tools = {digest: name for digest, name in self.tools.items() if digest == keep}
        self.interrupt("after drop_tools")

    def read_files(self, container_id: str, directory: str, most_bytes: int) -> dict[str, bytes]:
        assert directory == "/.spotyard/report"
        self._name(container_id)
        self.reads += 1
        return self.told if sum(map(len, self.told.values())) <= most_bytes else {}

    def events(self) -> Iterator[EngineEvent]:
        self._check()
        return iter(())

    def end(self, name: str, exit_code: int, **facts: object) -> None:
        """The container's main process ends."""
        self.change(name, status="exited", exit_code=exit_code, finished_at=self.now(), **facts)

    def change(self, name: str, **facts: object) -> None:
        """Set facts of a container."""
        self.containers[name] = replace(self.containers[name], **facts)  # type: ignore[arg-type]  # mixed by design

    def now(self) -> str:
        """A timestamp later than all before."""
        self._ticks += 1
        return self.last_time

    @property
    def last_time(self) -> str:
        """The latest timestamp given."""
        return f"2026-01-01T{self._ticks // 3600:02}:{self._ticks // 60 % 60:02}:{self._ticks % 60:02}.123456789Z"

    def _check(self) -> None:
        if self.down:
            raise EngineDownError("The container engine is not running.")

    def _name(self, container_id: str) -> str:
        self._check()
        name = container_id.partition("-")[2]
        if name not in self.containers or self.containers[name].container_id != container_id:
            raise ContainerGoneError(container_id)
        return name


class Life:
    """One life of an agent's reconciler on an engine and a state directory; make another to restart the agent."""

    def __init__(
        self,
        engine: FakeEngine,
        directory: Path,
        checkpoint: Checkpoint = no_checkpoint,
        keep_log: Callable[[int, str], None] = no_log_keeper,
        data_root: str | None = None,
    ) -> None:
        self.engine = engine
        self.pool = ManualPool()
        self.changes: list[bool] = []
        self.engine_errors: list[str] = []
        self.answers = True
        self.late_seconds = 0.0
        self.provide: Callable[[int], None] = no_volume
        store = MemoryStore(directory)
        self.reconciler = Reconciler(
            tools=Tools(
                engine=engine,
                store=store,
                traffic=TrafficStore(directory),
                free_images=FreeImages(directory),
                identity=IDENTITY,
                disk_floor_gb=0.0,
                data_root=lambda: data_root,
                checkpoint=checkpoint,
                keep_log=keep_log,
                provide_volume=lambda volume_id: self.provide(volume_id),
                probe=lambda _address, _port: self.answers,
                clock=lambda: instant(engine.last_time) + self.late_seconds,
            ),
            pool=self.pool,
            on_change=self.changes.append,
            on_engine_down=self.engine_errors.append,
        )
        self.reconciler.remember(store.load_all())
        if not engine.down:
            self.tick()

    def tick(self) -> None:
        """What happens every few seconds."""
        owned = [container for container in self.engine.owned() if container.owner == IDENTITY.owner]
        self.reconciler.on_listing({container.task_id: container.running for container in owned})
        self.pool.run()

    def want(self, *tasks: DesiredTask) -> None:
        """The server's complete wishes, carried out."""
        self.reconciler.apply(tasks)
        self.pool.run()

    def seen(self, task_id: int = 1) -> tuple[str, int, str | None] | None:
        """Phase, run and reason as the server would be told."""
        for observed in self.reconciler.observed():
            if observed.task_id == task_id:
                return observed.phase, observed.run_generation, observed.reason
        return None
