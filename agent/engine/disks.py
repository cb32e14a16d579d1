"""Saving what a container has on its disk as an image, and deleting it again.

Volumes are no part of that: they outlive their container by themselves.
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient

from agent.engine.types import ContainerGoneError, DiskName, Layer, TaskError
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
    """Names of a container's volumes by the directory they are mounted on."""
    mounts = _inspected(client, container_id).get("Mounts") or []
    return {mount["Destination"]: mount["Name"] for mount in mounts if mount.get("Type") == "volume"}


def layer(client: APIClient, container_id: str) -> Layer:
    """See ``Engine.layer``; megabytes are rounded up."""
    size = sizes(client, container_id)
    copied = size.whole_bytes if _is_stacked_high(_origin(client, container_id)) else size.written_bytes
    return Layer(used_mb=-(-size.written_bytes // _MB), copy_mb=-(-copied // _MB))


def save(client: APIClient, container_id: str, image: str, given_names: list[str]) -> list[str]:
    """See ``Engine.save_disk``. A copy of one layer needs no earlier images, so nothing given stays in it."""
    origin = _origin(client, container_id)
    settings = origin.get("Config") or {}
    # Renaming a new image to the name of an old one would leave the old one behind without a name.
    _drop_image(client, image)
    repository, _, tag = image.rpartition(":")
    if _is_stacked_high(origin) and (changes := instructions(settings, given_names)) is not None:
        _flatten(client, container_id, (repository, tag), [*changes, *_labels(client, container_id)])
        return []
    client.commit(container_id, repository, tag, pause=False, conf=_settings_to_keep(settings))
    env = _inspected(client, container_id)["Config"].get("Env") or []
    return sorted({*given_names, *_names(env)} - (_names(settings.get("Env") or []) - set(given_names)))


def drop_images(client: APIClient, disk: DiskName, keep: str) -> None:
    """See ``Engine.drop_disks``. Also finds those that lost their name to a later one."""
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


def instructions(settings: dict[str, Any], without_names: list[str]) -> list[str] | None:
    """Dockerfile instructions that give an image without settings those of another, but for some variables.

    None where they can't be told that way.
    """
    variables = [entry.partition("=")[::2] for entry in settings.get("Env") or []]
    kept = [(name, value) for name, value in variables if name not in without_names]
    if any(not text.isprintable() for pair in kept for text in pair):
        return None
    lines = [f"ENV {name}={_quoted(value)}" for name, value in kept]
    lines += [f"EXPOSE {port}" for port in settings.get("ExposedPorts") or {}]
    lines += [f"VOLUME {json.dumps([_quoted(place)])}" for place in settings.get("Volumes") or {}]
    for word, key in (("USER", "User"), ("WORKDIR", "WorkingDir"), ("STOPSIGNAL", "StopSignal")):
        if settings.get(key):
            lines.append(f"{word} {_quoted(str(settings[key]))}")
    # In this order: an entrypoint takes away the command.
    for word, key in (("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd")):
        if settings.get(key):
            lines.append(f"{word} {json.dumps(settings[key])}")
    return lines


def _flatten(client: APIClient, container_id: str, name: tuple[str, str], changes: list[str]) -> None:
    """From the engine to the engine, without being held in between."""
    content: Iterator[bytes] = client.export(container_id, chunk_size=_CHUNK_BYTES)
    said = str(client.import_image_from_stream(content, repository=name[0], tag=name[1], changes=changes))
    if '"errorDetail"' in said:
        raise TaskError("engine_error", f"The instance's disk could not be copied: {said.strip()[-200:]}")


def _settings_to_keep(settings: dict[str, Any]) -> dict[str, Any]:
    """For a commit, which takes what is absent from the container: its command is the plan's, not the image's."""
    kept = {key: settings[key] for key in _KEPT_SETTINGS if settings.get(key)}
    return kept | {"Entrypoint": settings.get("Entrypoint") or [], "Cmd": settings.get("Cmd") or []}


def _labels(client: APIClient, container_id: str) -> list[str]:
    labels = _inspected(client, container_id)["Config"].get("Labels") or {}
    plain = re.compile(r"[\w.:/,-]*", re.ASCII)
    return [f'LABEL {name}="{text}"' for name, text in labels.items() if plain.fullmatch(name + text)]


def _origin(client: APIClient, container_id: str) -> dict[str, Any]:
    """The image the container was made from. Raises ``TaskError`` where that was deleted by force."""
    image = _inspected(client, container_id)["Image"]
    try:
        return cast("dict[str, Any]", cast("Any", client).inspect_image(image))
    except docker.errors.NotFound as error:
        message = "The instance can't be moved to other GPUs: its image was deleted on the host."
        raise TaskError("engine_error", message) from error


def _inspected(client: APIClient, container_id: str) -> dict[str, Any]:
    return cast("dict[str, Any]", client.inspect_container(container_id))


def _is_stacked_high(image: dict[str, Any]) -> bool:
    return len(image.get("RootFS", {}).get("Layers") or []) > MOST_LAYERS


def _drop_image(client: APIClient, name: str) -> None:
    try:
        client.remove_image(name)
    except docker.errors.NotFound:
        return


def _names(env: list[str]) -> set[str]:
    return {entry.partition("=")[0] for entry in env}


def _quoted(text: str) -> str:
    """Safe from the substitutions of a Dockerfile."""
    escaped = re.sub(r'([\\"$])', r"\\\1", text)
    return f'"{escaped}"'
