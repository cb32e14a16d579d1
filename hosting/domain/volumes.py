"""Volumes: the life of one as a table, and what makes no sense in it. Pure."""

import posixpath
import re

CREATING = "creating"  # rented, the agent has not said yet that it is there
READY = "ready"
FAILED = "failed"  # could not be made, or was lost on the host
DELETING = "deleting"  # paid no more, the agent has not said yet that it is gone
DELETED = "deleted"

STATES = (CREATING, READY, FAILED, DELETING, DELETED)

TRANSITIONS: dict[str, frozenset[str]] = {
    CREATING: frozenset({READY, FAILED, DELETING}),
    READY: frozenset({FAILED, DELETING}),
    FAILED: frozenset({READY, DELETING}),  # a host may bring back a disk that was away
    DELETING: frozenset({DELETED}),
    DELETED: frozenset(),
}

USABLE = frozenset({CREATING, READY})
LIVE = frozenset({CREATING, READY, FAILED})
"""Not given up by its owner."""

MAX_SIZE_GB = 100_000
MAX_LABEL_CHARS = 64
MAX_PATH_CHARS = 255
MOST_MOUNTS = 8
"""Volumes of one instance."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NUMBER = re.compile(r"(V\.)?[0-9]{1,18}")
_WHOLE = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", ".spotyard")
"""Nothing is mounted on these directories of the root, nor below."""
_ITSELF = ("/", "/root", "/root/.ssh", "/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/usr/local", "/var", "/tmp")  # noqa: S108 - named to be refused
"""Nor on these, but below."""


def may_become(old: str, new: str) -> bool:
    """Whether the table allows ``old`` to become ``new``."""
    return new in TRANSITIONS[old]


def volume_label(volume_id: int) -> str:
    """How a volume is called beside its name."""
    return f"V.{volume_id}"


def label_problem(label: str) -> str:
    """Why a volume can't have this name; empty where it can, or for none."""
    if len(label) > MAX_LABEL_CHARS:
        return f"A volume's name has at most {MAX_LABEL_CHARS} characters."
    if label and not _LABEL.fullmatch(label):
        return "A volume's name consists of letters, digits, and - _ . between them, such as my-data."
    if _NUMBER.fullmatch(label):
        return "A volume's name can't be a number, because numbers are given by the marketplace."
    return ""


def number_in(reference: str) -> int | None:
    """The number that "12" or "V.12" speaks of; None for a name."""
    return int(reference.removeprefix("V.")) if _NUMBER.fullmatch(reference) else None


def size_problem(size_gb: int) -> str:
    """Why there can't be a volume of this size; empty where there can."""
    return "" if 1 <= size_gb <= MAX_SIZE_GB else f"A volume has 1 to {MAX_SIZE_GB} GB."


def clean_path(path: str) -> str:
    """The path without needless slashes; others are left as they are, for ``path_problem`` to refuse."""
    normal = posixpath.normpath(path) if path else ""
    return "/" + normal.lstrip("/") if path.startswith("/") else path


def path_problem(path: str) -> str:
    """Why nothing can be mounted on this (cleaned) path of a container; empty where it can."""
    if not path.startswith("/") or not path.isprintable() or ".." in path.split("/") or set(path) & set(":,\\\"'"):
        return "A mount path is absolute and plain, such as /data."
    if len(path) > MAX_PATH_CHARS:
        return f"A mount path has at most {MAX_PATH_CHARS} characters."
    if path in _ITSELF or path.split("/")[1] in _WHOLE:
        return f"A volume can't be mounted on {path}, which the container's system needs. Choose one such as /data."
    return ""


def paths_problem(paths: list[str]) -> str:
    """Why these can't be the mount paths of one instance; empty where they can."""
    if len(paths) > MOST_MOUNTS:
        return f"An instance has at most {MOST_MOUNTS} volumes."
    if len(set(paths)) < len(paths):
        return "Two volumes can't be mounted on the same path."
    return next(filter(None, map(path_problem, paths)), "")
