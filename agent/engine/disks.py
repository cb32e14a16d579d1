"""Saving what a container has on its disk as an image, and deleting it again.

Volumes are no part of that: they outlive their container by themselves.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient

from agent.engine.types import (
    TOOLS_PLACE,
    ContainerGoneError,
    DiskName,
    DiskParts,
    Layer,
    Saved,
    TaskError,
)
from agent.engine.volume_types import CLIENT_VOLUME_PREFIX
from agent.logs import say

_log = logging.getLogger(__name__)

MOST_LAYERS = 100
"""The engine stacks no more than 127; a disk that has been saved so often is saved as one layer."""
_MB = 1 << 20
_CHUNK_BYTES = 1 << 20
_KEPT_SETTINGS = (
    "Env",
    "User",
    "WorkingDir",
    "Volumes",
    "ExposedPorts",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "OnBuild",
    "Shell",
)


@dataclass(frozen=True)
class Sizes:
    """Of a container: what it has written itself, and all that it sees beside volumes."""

    written_bytes: int
    whole_bytes: int


def sizes(client: APIClient, container_id: str) -> Sizes:
    """Raises ``ContainerGoneError``."""
    rows = client.containers(all=True, size=True, filters={"id": container_id})
    if not rows:
        raise ContainerGoneError(container_id)
    return Sizes(int(rows[0].get("SizeRw") or 0), int(rows[0].get("SizeRootFs") or 0))


def volumes(client: APIClient, container_id: str) -> dict[str, str]:
    """Names of a container's own volumes by the directory they are mounted on."""
    mounts = own_mounts(_inspected(client, container_id))
    return {mount["Destination"]: mount["Name"] for mount in mounts if mount.get("Type") == "volume"}


def own_mounts(inspected: dict[str, Any]) -> list[dict[str, Any]]:
    """What is mounted in an inspected container and belongs to it alone, unlike guest tools and volumes of clients."""
    return [mount for mount in _mounts(inspected) if not str(mount.get("Name") or "").startswith(CLIENT_VOLUME_PREFIX)]


def _mounts(inspected: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the guest may write to."""
    return [mount for mount in inspected.get("Mounts") or [] if mount.get("Destination") != TOOLS_PLACE]


def parts(client: APIClient, container_id: str) -> DiskParts | None:
    """See ``Engine.disk_parts``."""
    inspected = _inspected(client, container_id)
    driver = inspected.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay2" or not data.get("UpperDir"):
        return None
    mounts = _mounts(inspected)
    return DiskParts(
        lower=[part for part in str(data["LowerDir"]).split(":") if part],
        upper=str(data["UpperDir"]),
        work=str(data["WorkDir"]),
        volumes={mount["Destination"]: mount["Source"] for mount in mounts if mount.get("Type") == "volume"},
    )


def layer(client: APIClient, container_id: str) -> Layer:
    """See ``Engine.layer``; megabytes are rounded up."""
    size = sizes(client, container_id)
    origin = _origin(client, container_id)
    return Layer(
        used_mb=-(-size.written_bytes // _MB),
        whole_mb=-(-size.whole_bytes // _MB),
        image_mb=_size_mb(origin),
        stacked_high=len(origin.get("RootFS", {}).get("Layers") or []) > MOST_LAYERS,
    )


def save(client: APIClient, container_id: str, image: str, given_names: list[str], *, as_one: bool) -> Saved:
    """See ``Engine.save_disk``. A copy as one layer needs no earlier images, so nothing given stays in it."""
    origin, container = _origin(client, container_id), _inspected(client, container_id)
    settings = origin.get("Config") or {}
    # Giving a new image the name of an old one would leave the old one behind without a name.
    _drop_image(client, image)
    given: set[str] = set()
    if as_one:
        _flatten(client, container_id, image, _settings_of_copy(settings, container, given_names))
    else:
        client.commit(container_id, **_name(image), pause=False, conf=_settings_to_keep(settings))
        own = _names(settings.get("Env")) - set(given_names)
        given = {*given_names, *_names(container["Config"].get("Env"))} - own
    return Saved(size_mb=_size_mb(_image(client, image)), given_names=sorted(given))


def has_image(client: APIClient, image: str) -> bool:
    """See ``Engine.has_image``."""
    try:
        _image(client, image)
    except docker.errors.NotFound:
        return False
    return True


def drop_images(client: APIClient, disk: DiskName, keep: str) -> None:
    """See ``Engine.drop_disks``. Also finds what an agent that was killed has left half done."""
    _drop_container(client, _carrier(disk.repository))
    for row in client.images(name=disk.repository):
        for name in row.get("RepoTags") or []:
            if name != keep and name.startswith(f"{disk.repository}:"):
                _drop_image(client, name)
    labels = [f"{name}={value}" for name, value in disk.labels.items()]
    for row in client.images(filters={"dangling": True, "label": labels}):
        try:
            _drop_image(client, row["Id"])
        except docker.errors.APIError as error:
            # In use; the task's own containers are not, where this matters.
            say(_log, "disk_in_use", level=logging.WARNING, image=row["Id"], why=error)


def drop_volumes(client: APIClient, names: list[str]) -> None:
    """See ``Engine.drop_volumes``."""
    for name in names:
        try:
            client.remove_volume(name)
        except docker.errors.NotFound:
            continue


def _flatten(client: APIClient, container_id: str, image: str, settings: dict[str, Any]) -> None:
    """Copy the disk from the engine to the engine, without holding it in between; the copy has no settings.

    Those are given to it through a container, which is never started, because that takes any text as it is.
    """
    bare, carrier = f"{image}-bare", _carrier(image.rpartition(":")[0])
    _drop_container(client, carrier)
    _drop_image(client, bare)
    content: Iterator[bytes] = client.export(container_id, chunk_size=_CHUNK_BYTES)
    said = str(client.import_image_from_stream(content, **_name(bare)))
    if '"errorDetail"' in said:
        raise TaskError("engine_error", f"The instance's disk could not be copied: {said.strip()[-200:]}")
    client.create_container(bare, ["-"], name=carrier)
    client.commit(carrier, **_name(image), pause=False, conf=settings)
    _drop_container(client, carrier)
    _drop_image(client, bare)


def _settings_to_keep(settings: dict[str, Any]) -> dict[str, Any]:
    """For a commit, which takes what is absent from the container: its command is the plan's, not the image's."""
    kept = {key: settings[key] for key in _KEPT_SETTINGS if settings.get(key)}
    return kept | {"Entrypoint": settings.get("Entrypoint") or [], "Cmd": settings.get("Cmd") or []}


def _settings_of_copy(settings: dict[str, Any], container: dict[str, Any], given_names: list[str]) -> dict[str, Any]:
    """As the image's before anything was given, but with the labels by which it is found."""
    own = [entry for entry in settings.get("Env") or [] if entry.partition("=")[0] not in given_names]
    return _settings_to_keep({**settings, "Env": own, "Labels": container["Config"].get("Labels")})


def _name(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}


def _carrier(repository: str) -> str:
    """Name of the container through which a copy of a disk gets its settings."""
    return repository.replace("/", "-")


def _origin(client: APIClient, container_id: str) -> dict[str, Any]:
    """The image the container was made from. Raises ``TaskError`` where that was deleted by force."""
    image = _inspected(client, container_id)["Image"]
    try:
        return _image(client, image)
    except docker.errors.NotFound as error:
        message = "The instance can't be moved to other GPUs: its image was deleted on the host."
        raise TaskError("engine_error", message) from error


def _image(client: APIClient, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", cast("Any", client).inspect_image(name))


def _size_mb(image: dict[str, Any]) -> int:
    return int(image.get("Size") or 0) // _MB


def _inspected(client: APIClient, container_id: str) -> dict[str, Any]:
    return cast("dict[str, Any]", client.inspect_container(container_id))


def _drop_image(client: APIClient, name: str) -> None:
    try:
        client.remove_image(name)
    except docker.errors.NotFound:
        return


def _drop_container(client: APIClient, name: str) -> None:
    try:
        client.remove_container(name, force=True, v=True)
    except docker.errors.NotFound:
        return


def _names(env: list[str] | None) -> set[str]:
    return {entry.partition("=")[0] for entry in env or []}
