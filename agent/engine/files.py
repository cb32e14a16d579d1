"""Reading small files out of a container, running or not, as an archive from the engine."""

import io
import tarfile
from pathlib import PurePosixPath

import docker.errors
from docker.api.client import APIClient

_ARCHIVE_OVERHEAD_BYTES = 64 * 1024
"""Headers and padding of the few files there can be."""


def read(client: APIClient, container_id: str, directory: str, most_bytes: int) -> dict[str, bytes]:
    """See ``Engine.read_files``. The guest writes them, so what is no plain file counts for nothing."""
    try:
        content, _ = client.get_archive(container_id, directory)
    except docker.errors.NotFound as error:
        if "No such container" in str(error.explanation):
            raise
        return {}
    archive = bytearray()
    for chunk in content:
        archive += chunk
        if len(archive) > most_bytes + _ARCHIVE_OVERHEAD_BYTES:
            return {}
    return _plain_files(bytes(archive))


def _plain_files(archive: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            for entry in opened:
                file = opened.extractfile(entry) if entry.isreg() else None
                if file is not None:
                    found[PurePosixPath(entry.name).name] = file.read()
    except tarfile.TarError:
        return {}
    return found
