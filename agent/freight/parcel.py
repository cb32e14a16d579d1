"""A container's disk as files that can be sent: its image and what is in its volumes, each compressed and summed."""

import gzip
import hashlib
import posixpath
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.engine.types import ContainerFacts, Engine
from agent.jobs.kinds import JobError
from agent.tasks.memory import SavedDisk, write_durably

_MB = 1 << 20
_CHUNK_BYTES = 1 << 20
_FASTEST = 1
"""Of gzip's levels: disks compress well even so, and the line is slower than that."""
_NOTE = "parcel.json"
_MOST_NOTE_BYTES = 1 << 20
_IMAGE = re.compile(r"spotyard-disk/[a-z0-9._-]+:sent-\d+")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a parcel."""

    size_bytes: int
    sha256: str
    directory: str = ""
    """Where the volume is mounted whose content it is; empty for the image."""


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """What the receiver has to know."""

    container_id: str
    started_at: str
    """The container's start time as it was packed: nothing ran on the disk since, as long as that is so."""
    image: str
    """What the image is called in the archive."""
    given_names: list[str]
    used_mb: int
    base_mb: int
    whole_mb: int
    """About as much space as all of it takes unpacked."""
    parts: list[Part]

    def is_all_of(self, container: ContainerFacts) -> bool:
        """Whether this is what the container has on its disk."""
        return (self.container_id, self.started_at) == (container.container_id, container.started_at)


@dataclass
class Packing:
    """One disk being packed into ``folder``. ``told`` gets the share that is done; ``must_end`` says to give up."""

    engine: Engine
    folder: Path
    image: str
    origin: SavedDisk | None
    told: Callable[[float], None]
    must_end: Callable[[], bool]
    _done_bytes: int = 0
    _whole_bytes: int = field(default=1)

    def packed(self, container: ContainerFacts) -> Parcel:
        """The parcel; one that was finished earlier is as good. Raises ``JobError`` and what the engine raises."""
        known = noted(self.folder)
        if known is not None and known.is_all_of(container) and self._is_there(known):
            return known
        try:
            parcel = self._pack(container)
        finally:
            self.engine.drop_image(self.image)
        write_durably(self.folder / _NOTE, msgspec.json.encode(parcel))
        return parcel

    def _pack(self, container: ContainerFacts) -> Parcel:
        container_id = container.container_id
        layer = self.engine.layer(container_id)
        volumes = self.engine.volumes(container_id)
        taken_mb = self.engine.disk_used_mb(container_id)
        whole_mb = layer.whole_mb + max(0, taken_mb - layer.used_mb)
        self._require_room(whole_mb)
        self._whole_bytes = max(1, whole_mb * _MB)
        given = self.origin.given_names if self.origin is not None else []
        saved = self.engine.save_disk(container_id, self.image, given, as_one=layer.stacked_high)
        parts = [self._written(0, "", self.engine.image_archive(self.image))]
        for number, directory in enumerate(sorted(volumes), start=1):
            content = self.engine.directory_archive(container_id, directory)
            parts.append(self._written(number, directory, content))
        return Parcel(
            container_id=container_id,
            started_at=container.started_at,
            image=self.image,
            given_names=saved.given_names,
            used_mb=layer.used_mb + (self.origin.used_mb if self.origin is not None else 0),
            base_mb=self.origin.base_mb if self.origin is not None else layer.image_mb,
            whole_mb=whole_mb,
            parts=parts,
        )

    def _written(self, number: int, directory: str, content: Iterator[bytes]) -> Part:
        path = part_file(self.folder, number)
        with path.open("wb") as file:
            summed = _Summing(file)
            with gzip.GzipFile(fileobj=summed, mode="wb", compresslevel=_FASTEST, mtime=0) as packed:
                for chunk in content:
                    if self.must_end():
                        raise JobError("given_up", "The move was given up.")
                    packed.write(chunk)
                    self._done_bytes += len(chunk)
                    self.told(min(0.99, self._done_bytes / self._whole_bytes))
        return Part(size_bytes=path.stat().st_size, sha256=summed.sha256.hexdigest(), directory=directory)

    def _require_room(self, whole_mb: int) -> None:
        """For the packed files; compressed they hardly ever take as much."""
        if shutil.disk_usage(self.folder).free < whole_mb * _MB:
            message = f"The source's host has too little free space to pack the disk, about {whole_mb / 1024:.1f} GB."
            raise JobError("disk_full", message)

    def _is_there(self, parcel: Parcel) -> bool:
        sizes = [part_file(self.folder, number) for number in range(len(parcel.parts))]
        return all(
            path.exists() and path.stat().st_size == part.size_bytes
            for path, part in zip(sizes, parcel.parts, strict=True)
        )


class _Summing:
    """A file to write to that knows the sum of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


def noted(folder: Path) -> Parcel | None:
    """The parcel that was finished in this folder, if one was."""
    try:
        return msgspec.json.decode((folder / _NOTE).read_bytes(), type=Parcel)
    except (OSError, msgspec.DecodeError):
        return None


def part_file(folder: Path, number: int) -> Path:
    """Where a part lies, packed or received."""
    return folder / f"part-{number}.gz"


def sum_of(path: Path) -> str:
    """SHA-256 in hex of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def unpacked(path: Path, most_bytes: int) -> Iterator[bytes]:
    """The content of a part. Raises ``JobError`` where it is larger than there is room for."""
    came = 0
    with gzip.open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            came += len(chunk)
            if came > most_bytes:
                raise JobError("too_large", "The disk that was sent is larger than its sender said.")
            yield chunk


def require_only(path: Path, image: str) -> None:
    """Refuse a packed image that brings any other name than this: the engine gives an image all names in its archive,
    and would take those from the images of others. Raises ``JobError``."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            names = [name for member in archive for name in _names_in(archive, member)]
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_a_disk() from error
    if not _IMAGE.fullmatch(image) or not names or set(names) != {image}:
        raise _not_a_disk()


def _names_in(archive: tarfile.TarFile, member: tarfile.TarInfo) -> list[str]:
    """Names that a file of the archive gives to images, in each of the ways that engines know."""
    name = posixpath.normpath(member.name).lstrip("/")
    if name not in ("manifest.json", "repositories", "index.json"):
        return []
    content = archive.extractfile(member)
    if content is None or member.size > _MOST_NOTE_BYTES:
        raise _not_a_disk()
    told = msgspec.json.decode(content.read())
    if name == "manifest.json":
        return [tag for entry in told for tag in entry["RepoTags"] or ()]
    if name == "repositories":
        return [f"{repository}:{tag}" for repository, tags in told.items() for tag in tags]
    annotations = [entry.get("annotations") or {} for entry in told["manifests"]]
    full = [one["io.containerd.image.name"] for one in annotations if "io.containerd.image.name" in one]
    return [one.removeprefix("docker.io/") for one in full]


def _not_a_disk() -> JobError:
    return JobError("not_a_disk", "What arrived is not the disk of an instance, so it was not taken in.")
