"""The volume with the guest tools: filled once, mounted read-only into every container in ssh mode.

A volume is filled through a container that is never started. That container gets the volume's final name once all is in
it, which the engine does at once or not at all, so whatever bears that name is complete, and is never written to again.
It stays: the engine deletes no volume that a container has.
"""

import contextlib
import logging
import time
import uuid
from pathlib import Path
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient
from docker.types import Mount

from agent.engine.timestamps import instant
from agent.logs import say

_log = logging.getLogger(__name__)

LABEL = "spotyard.tools"
"""On volume and container: the digest of what is in them."""
_CARRIER = "spotyard/empty:1"
_FOLDER = "/tools"
_ABANDONED_SECONDS = 900.0
"""Whoever fills a volume has long been done by then, or was killed."""
_EMPTY_ARCHIVE = bytes(10240)


def container_name(digest: str) -> str:
    """Name of the container whose volume is complete."""
    return f"spotyard-tools-{digest[:16]}"


def volume_of(client: APIClient, digest: str) -> str | None:
    """See ``Engine.tools_volume``."""
    try:
        inspected = cast("dict[str, Any]", client.inspect_container(container_name(digest)))
    except docker.errors.NotFound:
        return None
    return next((str(mount["Name"]) for mount in inspected.get("Mounts") or []), None)


def stage(client: APIClient, digest: str, archive: Path) -> str:
    """See ``Engine.stage_tools``. Returns the name of volume and container, which no other attempt has."""
    name = f"{container_name(digest)}-{uuid.uuid4().hex[:12]}"
    _ensure_carrier(client)
    client.create_volume(name, labels={LABEL: digest})
    mounts = [Mount(_FOLDER, name, type="volume", no_copy=True)]
    host_config = client.create_host_config(mounts=mounts, network_mode="none")
    client.create_container(_CARRIER, ["-"], name=name, labels={LABEL: digest}, host_config=host_config)
    try:
        with archive.open("rb") as content:
            client.put_archive(name, _FOLDER, content)
    except docker.errors.APIError:
        _drop(client, name, name)
        raise
    return name


def publish(client: APIClient, digest: str, staged: str) -> str:
    """See ``Engine.publish_tools``."""
    try:
        client.rename(staged, container_name(digest))
    except docker.errors.APIError:
        other = volume_of(client, digest)
        if other is None or other == staged:
            raise
        _drop(client, staged, staged)
        return other
    return staged


def drop(client: APIClient, keep: str) -> None:
    """See ``Engine.drop_tools``."""
    for row in client.containers(all=True, filters={"label": LABEL}):
        volume = next((mount["Name"] for mount in row.get("Mounts") or []), "")
        published = row["Names"] == [f"/{container_name(row['Labels'][LABEL])}"]
        stale = row["Labels"][LABEL] != keep if published else _is_abandoned(float(row["Created"]))
        if stale and len(client.containers(all=True, filters={"volume": volume})) == 1:
            say(_log, "tools_dropped", volume=volume)
            _drop(client, row["Id"], volume)
    # Agents that were killed leave volumes without a container.
    for orphan in client.volumes(filters={"label": LABEL, "dangling": "true"})["Volumes"] or []:
        if _is_abandoned(instant(str(orphan["CreatedAt"]))):
            _drop_volume(client, orphan["Name"])


def _is_abandoned(created_at: float) -> bool:
    return time.time() - created_at > _ABANDONED_SECONDS


def _drop(client: APIClient, container: str, volume: str) -> None:
    with contextlib.suppress(docker.errors.NotFound):  # another agent of this engine was faster
        client.remove_container(container, force=True)
    _drop_volume(client, volume)


def _drop_volume(client: APIClient, name: str) -> None:
    with contextlib.suppress(docker.errors.NotFound):  # likewise
        client.remove_volume(name)


def _ensure_carrier(client: APIClient) -> None:
    """An image with nothing in it, to make containers of."""
    if not client.images(name=_CARRIER, quiet=True):
        repository, tag = _CARRIER.split(":")
        client.import_image_from_data(_EMPTY_ARCHIVE, repository=repository, tag=tag)
