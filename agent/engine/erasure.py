"""Looks for what a removed task may have left behind, so that the agent can say that there is nothing."""

from collections.abc import Collection

from docker.api.client import APIClient

from agent.engine.types import DiskName


def traces(client: APIClient, name: str, disk: DiskName, volumes: Collection[str]) -> list[str]:
    """See ``Engine.traces``."""
    labels = [f"{key}={value}" for key, value in disk.labels.items()]
    containers = client.containers(all=True, filters={"label": labels})
    named = client.containers(all=True, filters={"name": f"^/{name}$"})
    images = [row for row in client.images(filters={"label": labels}) if _is_of(disk, row.get("RepoTags") or [])]
    there = {str(row["Name"]) for row in client.volumes()["Volumes"] or []} if volumes else set()
    kinds = {
        "container": containers or named,
        "saved disks": images,
        "network": has_network(client, name),
        "volumes": there & set(volumes),
    }
    return [kind for kind, left in kinds.items() if left]


def _is_of(disk: DiskName, names: Collection[str]) -> bool:
    """Whether an image with the task's labels is its own: where it was sent to another agent of this engine, that one's
    copy has the labels too, and another name."""
    named = [name for name in names if name != "<none>:<none>"]
    return not named or any(name.startswith(f"{disk.repository}:") for name in named)


def has_network(client: APIClient, name: str) -> bool:
    """Whether there is a network of this name."""
    return any(each["Name"] == name for each in client.networks(names=[name]))
