"""The Docker engine through docker-py's low-level client."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient
from docker.utils import kwargs_from_env

from agent.engine import auth, commands, disks, erasure, files, images, output, parcels, tools, usage, volumes
from agent.engine.alive import Ends, engine_started_at
from agent.engine.attached import DockerAttached
from agent.engine.errors import explanation, pull_refusal, translated
from agent.engine.guest_disks import GuestDisks, disk_label
from agent.engine.guest_networks import GuestNetworks
from agent.engine.image_types import FoundImage, ImageFacts
from agent.engine.inspected import facts_of, has_seccomp, has_user_namespaces, may_support_quota
from agent.engine.labels import OWNER_LABEL, TASK_LABEL
from agent.engine.profile import create_arguments
from agent.engine.pull import PullProgress
from agent.engine.sandboxes import runtimes_of
from agent.engine.types import (
    Attached,
    Command,
    CommandOutcome,
    ContainerFacts,
    ContainerGoneError,
    ContainerPlan,
    DiskName,
    DiskParts,
    EngineEvent,
    EngineInfo,
    ImageMissingError,
    Layer,
    LogStream,
    LogTail,
    Owned,
    PullWatch,
    PutArchive,
    Saved,
    TaskError,
)
from agent.engine.usage_types import ContainerUsage
from agent.protocol import RegistryLogin

_CALL_TIMEOUT_SECONDS = 120
_COPY_TIMEOUT_SECONDS = 6 * 3600
"""For calls that copy or delete a whole disk before they answer."""
_CONNECTIONS = 64
_MB = 1 << 20


class DockerEngine:
    """Implements ``agent.engine.types.Engine``; safe to share between threads.

    Connects on first use, to where DOCKER_HOST and its companions say, else to the local socket.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[int, APIClient] = {}
        self._info: EngineInfo | None = None
        self._started_at: float | None = None
        self._ends = Ends()
        self._disk_quota = False
        self._guest_disks = GuestDisks()
        self._networks = GuestNetworks()

    @property
    def _client(self) -> APIClient:
        return self._patient(_CALL_TIMEOUT_SECONDS)

    @property
    def _slow_client(self) -> APIClient:
        return self._patient(_COPY_TIMEOUT_SECONDS)

    def _patient(self, timeout_seconds: int) -> APIClient:
        """The one client that waits so long for answers."""
        with self._lock:
            if timeout_seconds not in self._clients:
                self._clients[timeout_seconds] = APIClient(
                    **kwargs_from_env(), timeout=timeout_seconds, max_pool_size=_CONNECTIONS
                )
            return self._clients[timeout_seconds]

    def info(self) -> EngineInfo:
        self._started_at = engine_started_at()
        with translated():
            facts = self._client.info()
        self._disk_quota = may_support_quota(facts)
        with translated():
            self._guest_disks.look(self._client, facts)
        self._info = EngineInfo(
            version=str(facts["ServerVersion"]),
            cpus=int(facts["NCPU"]),
            ram_mb=int(facts["MemTotal"]) // _MB,
            data_root=str(facts["DockerRootDir"]),
            runtimes=runtimes_of(facts.get("Runtimes")),
            seccomp=has_seccomp(facts),
            user_namespaces=has_user_namespaces(facts),
        )
        return self._info

    def sweep_networks(self) -> None:
        with translated():
            self._networks.sweep(self._client)

    def owned(self) -> list[Owned]:
        with translated():
            rows = self._client.containers(all=True, filters={"label": OWNER_LABEL})
        return [
            Owned(row["Labels"][OWNER_LABEL], int(row["Labels"][TASK_LABEL]), row["State"] == "running")
            for row in rows
            if row["Labels"].get(TASK_LABEL, "").isdigit()
        ]

    def find(self, name: str) -> ContainerFacts | None:
        try:
            with translated():
                inspected = cast("dict[str, Any]", self._client.inspect_container(name))
        except ContainerGoneError:
            return None
        if self._ends.is_new(inspected):
            self._started_at = engine_started_at()
            self._ends.outlived(inspected)
        return facts_of(inspected, self._started_at)

    def create(self, plan: ContainerPlan) -> str:
        info = self._info or self.info()
        with translated():
            for name in plan.volumes.values():
                # The engine would make a missing one anew, empty.
                self._client.inspect_volume(name)
            volumes.require_clients(self._client, plan.client_volumes.values())
            network = self._networks.begin(self._client, plan)
            try:
                container_id = self._create_on_disk(plan, info)
            except BaseException:
                self._give_up(network, plan.network)
                raise
            return self._on_network(container_id, network)

    def _on_network(self, container_id: str, network: "Future[None] | None") -> str:
        """The container, once its network is there too."""
        try:
            if network is not None:
                network.result()
        except docker.errors.APIError:
            self.remove(container_id)
            raise
        return container_id

    def _give_up(self, network: "Future[None] | None", name: str) -> None:
        if network is not None and network.exception() is None:
            self._networks.drop(self._client, name)

    def _create_on_disk(self, plan: ContainerPlan, info: EngineInfo) -> str:
        """With a quota of the engine's where it has them, else with a file system of its own."""
        try:
            return self._create(plan, info)
        except docker.errors.APIError as error:
            if not (self._disk_quota and "storage-opt" in explanation(error)):
                raise
            self._disk_quota = False
            return self._create(plan, info)

    def _create(self, plan: ContainerPlan, info: EngineInfo) -> str:
        arguments = create_arguments(self._client, plan, info, disk_quota=self._disk_quota)
        if self._disk_quota:
            return str(self._client.create_container(**arguments)["Id"])
        container_id = str(
            self._client.create_container(**arguments | {"labels": arguments["labels"] | disk_label(plan)})["Id"]
        )
        try:
            self._guest_disks.provide(self._client, container_id)
        except TaskError:
            self.remove(container_id)
            raise
        return container_id

    def put_files(self, container_id: str, archive: bytes) -> None:
        with translated():
            self._guest_disks.cover(self._client, container_id)
            self._client.put_archive(container_id, "/", archive)

    def start(self, container_id: str) -> None:
        with translated():
            line = self._networks.before_start(self._client, container_id)
            self._guest_disks.start(self._client, container_id)
            self._client.start(container_id)
            self._networks.after_start(self._client, container_id, line)

    def stop(self, container_id: str, grace_seconds: int) -> None:
        with translated():
            self._client.stop(container_id, timeout=grace_seconds)

    def remove(self, container_id: str, *, keep_volumes: bool = False) -> None:
        try:
            with translated():
                self._guest_disks.removing(self._client, container_id, keep_volumes=keep_volumes)
                self._networks.removing(self._client, container_id)
                self._client.remove_container(container_id, force=True, v=not keep_volumes)
        except ContainerGoneError:
            pass
        self._ends.forget(container_id)
        with translated():
            self._guest_disks.removed(self._client, container_id)
            self._networks.removed(self._client, container_id)

    def traces(self, name: str, disk: DiskName, container_id: str, volumes: list[str]) -> list[str]:
        with translated():
            if erasure.has_network(self._client, name):
                self._networks.drop(self._client, name)
            found = erasure.traces(self._client, name, disk, volumes)
        if container_id and "container" not in found and self._guest_disks.has(container_id):
            with translated():
                self._guest_disks.removed(self._client, container_id)
        return [*found, "disk"] if container_id and self._guest_disks.has(container_id) else found

    def last_line(self, container_id: str, most_bytes: int) -> str:
        with translated():
            return output.last_line(self._client, container_id, most_bytes)

    def log_tail(self, container_id: str, most_bytes: int) -> LogTail:
        with translated():
            return output.tail(self._client, container_id, most_bytes)

    def follow_log(self, container_id: str, tail_lines: int) -> LogStream:
        with translated():
            return output.follow(self._client, container_id, tail_lines)

    def run_command(self, container_id: str, command: Command) -> CommandOutcome:
        with translated():
            return commands.run(self._client, container_id, command)

    def attach(self, container_id: str, command: list[str], environment: Mapping[str, str]) -> Attached:
        with translated():
            return DockerAttached(self._client, container_id, command, environment)

    def image_archive(self, image: str) -> Iterator[bytes]:
        with translated():
            yield from parcels.image_archive(self._slow_client, image)

    def load_image(self, archive: Iterator[bytes], loaded: str, name: str) -> None:
        with translated():
            parcels.load_image(self._slow_client, archive, loaded, name)

    def drop_image(self, image: str) -> None:
        with translated():
            parcels.drop_image(self._slow_client, image)

    def list_images(self) -> list[ImageFacts]:
        with translated():
            return images.listed(self._client)

    def image_id(self, image: str) -> str | None:
        with translated():
            return images.id_of(self._client, image)

    def directory_archive(self, container_id: str, directory: str) -> Iterator[bytes]:
        with translated():
            self._guest_disks.cover(self._client, container_id)
            yield from parcels.directory_archive(self._slow_client, container_id, directory)

    def fill_volumes(self, image: str, volumes: Mapping[str, str], fill: Callable[[PutArchive], None]) -> None:
        with translated():
            self._guest_disks.forget_volumes(volumes.values())
            parcels.fill_volumes(self._slow_client, image, volumes, fill)

    def disk_parts(self, container_id: str) -> DiskParts | None:
        with translated():
            self._guest_disks.cover(self._client, container_id)
            return disks.parts(self._client, container_id)

    def volumes(self, container_id: str) -> dict[str, str]:
        with translated():
            return disks.volumes(self._client, container_id)

    def layer(self, container_id: str) -> Layer:
        with translated():
            self._guest_disks.cover(self._client, container_id)
            return disks.layer(self._client, container_id)

    def save_disk(self, container_id: str, image: str, given_names: list[str], *, as_one: bool = False) -> Saved:
        with translated():
            self._guest_disks.cover(self._client, container_id)
            return disks.save(self._slow_client, container_id, image, given_names, as_one=as_one)

    def has_image(self, image: str) -> bool:
        with translated():
            return disks.has_image(self._client, image)

    def drop_disks(self, disk: DiskName, keep: str = "") -> None:
        with translated():
            disks.drop_images(self._slow_client, disk, keep)

    def drop_volumes(self, names: list[str]) -> None:
        with translated(), self._guest_disks.dropping_volumes(self._client, names):
            disks.drop_volumes(self._slow_client, names)

    def make_volume(self, name: str, labels: Mapping[str, str], size_gb: int, *, reserved: bool) -> None:
        with translated():
            self._guest_disks.make_volume(name, size_gb, reserved=reserved)
            self._client.create_volume(name, labels=dict(labels))

    def volume_names(self, label: str) -> set[str]:
        with translated():
            rows = self._client.volumes(filters={"label": label})["Volumes"] or []
        return {str(row["Name"]) for row in rows}

    def volume_used_mb(self, name: str) -> int | None:
        with translated():
            at_once = self._guest_disks.volume_used_mb(name)
            return volumes.used_mb_of(self._client, name) if at_once is None else at_once

    def found_image(self, image: str) -> FoundImage | None:
        try:
            with translated():
                return images.found(self._client, image)
        except (ImageMissingError, ContainerGoneError):
            return None

    def pull(self, image: str, watch: PullWatch, login: RegistryLogin | None = None) -> None:
        progress = PullProgress()
        try:
            with translated():
                for message in self._pull_messages(image, login):
                    if "error" in message:
                        raise self._pull_refusal(image, str(message["error"]), login)
                    watch.on_progress(progress.update(message))
                    if watch.abandoned():
                        return
        except (ImageMissingError, ContainerGoneError) as error:
            raise self._pull_refusal(image, str(error), login) from error

    def _pull_messages(self, image: str, login: RegistryLogin | None) -> Iterator[dict[str, Any]]:
        """Docker's stream. Without a login there is none: the host owner's own accounts are not for guests."""
        try:
            yield from self._client.pull(image, stream=True, decode=True, auth_config=auth.config(login))
        except docker.errors.APIError as error:
            raise self._pull_refusal(image, explanation(error), login) from error

    def _pull_refusal(self, image: str, text: str, login: RegistryLogin | None) -> TaskError:
        return pull_refusal(image, text) if login is None else auth.refusal(image, text, login)

    def disk_used_mb(self, container_id: str) -> int:
        with translated():
            written_mb = self._guest_disks.written_mb(self._client, container_id)
            if written_mb is None:
                written_mb = disks.sizes(self._client, container_id).written_bytes // _MB
            inspected = cast("dict[str, Any]", self._client.inspect_container(container_id))
        return written_mb + self._guest_disks.own_volumes_used_mb(inspected)

    def usage(self, container_id: str) -> ContainerUsage:
        with translated():
            return usage.read(self._client, container_id)

    def content_mb(self, container_id: str, base_mb: int) -> int | None:
        with translated():
            inspected = cast("dict[str, Any]", self._client.inspect_container(container_id))
        whole_mb = volumes.root_mb(inspected)
        if whole_mb is None:
            return None
        return max(0, whole_mb - base_mb) + self._guest_disks.own_volumes_used_mb(inspected)

    def tools_volume(self, digest: str) -> str | None:
        with translated():
            return tools.volume_of(self._client, digest)

    def stage_tools(self, digest: str, archive: Path) -> str:
        with translated():
            return tools.stage(self._slow_client, digest, archive)

    def publish_tools(self, digest: str, staged: str) -> str:
        with translated():
            return tools.publish(self._client, digest, staged)

    def drop_tools(self, keep: str) -> None:
        with translated():
            tools.drop(self._slow_client, keep)

    def read_files(self, container_id: str, directory: str, most_bytes: int) -> dict[str, bytes]:
        with translated():
            self._guest_disks.cover(self._client, container_id)
            return files.read(self._client, container_id, directory, most_bytes)

    def events(self) -> Iterator[EngineEvent]:
        filters = {"type": "container", "label": OWNER_LABEL, "event": ["start", "die", "destroy"]}
        with translated():
            for event in self._client.events(decode=True, filters=filters):
                attributes = event.get("Actor", {}).get("Attributes", {})
                task = attributes.get(TASK_LABEL, "")
                if task.isdigit():
                    yield EngineEvent(attributes.get(OWNER_LABEL, ""), int(task))
