"""What takes a disk from one engine to another: images as archives, and volumes filled from archives."""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient
from docker.types import Mount

from agent.engine.types import PutArchive, TaskError
from agent.protocol import FailureReason

_CHUNK_BYTES = 1 << 20


def image_archive(client: APIClient, image: str) -> Iterator[bytes]:
    """See ``Engine.image_archive``."""
    return cast("Iterator[bytes]", client.get_image(image, chunk_size=_CHUNK_BYTES))


def load_image(client: APIClient, archive: Iterator[bytes], loaded: str, name: str) -> None:
    """See ``Engine.load_image``."""
    told = cast("Any", client).load_image(archive, quiet=True)
    for line in cast("Iterator[dict[str, Any]]", told or ()):
        if "errorDetail" in line:
            said = str((line["errorDetail"] or {}).get("message", ""))
            reason: FailureReason = "disk_full" if "no space left" in said else "engine_error"
            raise TaskError(reason, f"The disk that was sent could not be taken in: {said[:200]}")
    repository, _, tag = name.rpartition(":")
    client.tag(loaded, repository, tag, force=True)
    if loaded != name:
        drop_image(client, loaded)


def drop_image(client: APIClient, image: str) -> None:
    """See ``Engine.drop_image``."""
    try:
        client.remove_image(image)
    except docker.errors.NotFound:
        return


def directory_archive(client: APIClient, container_id: str, directory: str) -> Iterator[bytes]:
    """See ``Engine.directory_archive``. The name of the directory is the first in each path."""
    content, _ = client.get_archive(container_id, directory, chunk_size=_CHUNK_BYTES)
    return cast("Iterator[bytes]", content)


def fill_volumes(client: APIClient, image: str, volumes: Mapping[str, str], fill: Callable[[PutArchive], None]) -> None:
    """See ``Engine.fill_volumes``. Through a container that is never started, which is deleted again."""
    carrier = f"{image.rpartition(':')[0].replace('/', '-')}-filling"
    _drop_container(client, carrier)
    for name in volumes.values():
        _drop_volume(client, name)
        client.create_volume(name)
    mounts = [Mount(directory, name, type="volume", no_copy=True) for directory, name in volumes.items()]
    host_config = client.create_host_config(mounts=mounts, network_mode="none")
    client.create_container(image, ["-"], name=carrier, host_config=host_config)
    try:
        fill(lambda directory, archive: _put(client, carrier, directory, archive))
    finally:
        _drop_container(client, carrier)


def _put(client: APIClient, carrier: str, directory: str, archive: Iterator[bytes]) -> None:
    client.put_archive(carrier, posixpath.dirname(directory.rstrip("/")) or "/", cast("Any", archive))


def _drop_container(client: APIClient, name: str) -> None:
    try:
        client.remove_container(name, force=True)
    except docker.errors.NotFound:
        return


def _drop_volume(client: APIClient, name: str) -> None:
    try:
        client.remove_volume(name)
    except docker.errors.NotFound:
        return
