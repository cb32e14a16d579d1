"""Looks for what a removed task may have left behind, so that the agent can say that there is nothing."""

from collections.abc import Collection

from docker.api.client import APIClient

from agent.engine.types import DiskName


def traces(client: APIClient, name: str, disk: DiskName, volumes: Collection[str]) -> list[str]:
    """See ``Engine.traces``."""
    labels = [f"{key}={value}" for key, value in disk.labels.items()]
    containers = client.containers(all=True, filters={"label": labels})
    named = client.containers(all=True, filters={"name": f"^/{name}$"})
    images = client.images(all=True, filters={"label": labels})
    there = {str(row["Name"]) for row in client.volumes()["Volumes"] or []} if volumes else set()
    kinds = {
        "container": containers or named,
        "saved disks": images,
        "network": has_network(client, name),
        "volumes": there & set(volumes),
    }
    return [kind for kind, left in kinds.items() if left]


def has_network(client: APIClient, name: str) -> bool:
    """Whether there is a network of this name."""
    return any(each["Name"] == name for each in client.networks(names=[name]))
