"""Makes a version of the agent out of its bundle: code and a virtual environment of its own, complete or not there."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from agent.installer.system import InstallError, change, run

TOP = "spotyard-agent"
"""The folder that a bundle consists of."""
_MOST_BYTES = 64 << 20


class UnfitError(InstallError):
    """This bundle will not run here, however often it is tried."""


@dataclass(frozen=True)
class Bundle:
    """A file as the marketplace described it."""

    file: Path
    version: str
    digest: str
    """SHA-256 in hex."""


def make_version(bundle: Bundle, versions: Path, python: str) -> Path:
    """Unpack, install what it needs, try it, and give it its name. Does nothing where that is done.

    ``python`` is the interpreter to make the environment of. Raises ``InstallError`` where it may go well another time,
    ``UnfitError`` where it won't.
    """
    target = versions / bundle.version
    if target.is_dir():
        return target
    _check_name(bundle.version)
    check_digest(bundle)
    scratch = versions / f".{bundle.version}.new"
    shutil.rmtree(str(scratch), ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _unpack(bundle.file, scratch)
        _environment(scratch, target, python)
        _try(scratch, bundle.version)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(str(scratch), ignore_errors=True)
        raise
    return target


def forget_others(versions: Path, *kept: str) -> list[str]:
    """Delete all versions but these; the names of those that went."""
    gone = [path for path in versions.glob("*") if path.name not in kept]
    for path in gone:
        shutil.rmtree(str(path), ignore_errors=True)
    return [path.name for path in gone]


def check_digest(bundle: Bundle) -> None:
    """Raises ``InstallError``."""
    digest = hashlib.sha256(bundle.file.read_bytes()).hexdigest()
    if digest != bundle.digest:
        raise InstallError(f"The agent's bundle is damaged: its SHA-256 is {digest}, not {bundle.digest}.")


def _check_name(version: str) -> None:
    if not version or len(version) > 40 or not all(c.isalnum() or c in "+._" for c in version) or version[0] == ".":
        raise UnfitError(f"“{version}” can't be a version of the agent.")


def _unpack(file: Path, into: Path) -> None:
    with tarfile.open(str(file)) as archive:
        members = archive.getmembers()
        for member in members:
            parts = Path(member.name).parts
            if not (member.isfile() or member.isdir()) or ".." in parts or parts[:1] != (TOP,):
                raise UnfitError(f"The agent's bundle has a strange entry: {member.name}")
        if sum(member.size for member in members) > _MOST_BYTES:
            raise UnfitError("The agent's bundle is too large.")
        archive.extractall(str(into))  # noqa: S202 - each entry was looked at


def _environment(scratch: Path, target: Path, python: str) -> None:
    """Packages that nothing but the listed files can be: their digests are in the bundle, whose own was checked."""
    venv = scratch / "venv"
    change([python, "-m", "venv", str(venv)], "Making the agent's Python environment")
    lock = scratch / TOP / "agent/requirements.lock"
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    change([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], "Installing what the agent needs")
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "spotyard.pth").write_text(f"{target / TOP}\n")


def _try(scratch: Path, version: str) -> None:
    """Whether it starts at all, while it is not where it will be."""
    told = run([str(scratch / "venv/bin/python"), "-m", "agent", "--version"], directory=scratch / TOP)
    if not told.ok or version not in told.out:
        raise UnfitError(f"Version {version} of the agent does not start here: {told.last_words}")
