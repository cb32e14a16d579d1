"""Which images there are, and which of them anything is made of."""

from typing import Any, cast

import docker.errors
from docker.api.client import APIClient

from agent.engine.image_types import FoundImage, ImageFacts
from agent.engine.labels import LENT_LABEL
from agent.engine.references import repository_of

_NAMELESS = "<none>:<none>"


def listed(client: APIClient) -> list[ImageFacts]:
    """See ``ImageEngine.list_images``. Containers are looked at last, so that none made in between is overlooked."""
    rows = client.images(all=True)
    needed = {str(row.get("ParentId") or "") for row in rows}
    needed |= {str(row["ImageID"]) for row in client.containers(all=True)}
    return [
        ImageFacts(
            image_id=str(row["Id"]),
            names=frozenset(name for name in row.get("RepoTags") or [] if name != _NAMELESS),
            size_bytes=int(row.get("Size") or 0),
            in_use=row["Id"] in needed,
        )
        for row in rows
    ]


def found(client: APIClient, image: str) -> FoundImage:
    """See ``Engine.found_image``. Raises docker-py's NotFound."""
    facts = cast("dict[str, Any]", cast("Any", client).inspect_image(image))
    names = [*(facts.get("RepoTags") or []), *(facts.get("RepoDigests") or [])]
    labels = (facts.get("Config") or {}).get("Labels") or {}
    return FoundImage(
        image_id=str(facts["Id"]),
        repositories=frozenset(repository_of(name) for name in names if name != _NAMELESS),
        size_bytes=int(facts.get("Size") or 0),
        lent_as=str(labels.get(LENT_LABEL) or ""),
    )


def id_of(client: APIClient, image: str) -> str | None:
    """See ``ImageEngine.image_id``."""
    try:
        return str(cast("dict[str, Any]", cast("Any", client).inspect_image(image))["Id"])
    except docker.errors.NotFound:
        return None
