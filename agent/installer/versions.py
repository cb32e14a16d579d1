"""Makes a version of the agent out of its bundle: code and a virtual environment of its own, complete or not there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from agent.installer.system import InstallError, change, run

TOP = "spotyard-agent"
"""The folder that a bundle consists of."""
_MOST_BYTES = 64 << 20
_WRONG_OPTIONS = 2
"""Exit status of a program of Python's that does not understand its options."""


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
    """Unpack, install what it needs, try it, and give it its name. Does nothing where that is done and works.

    ``python`` is the interpreter to make the environment of. Raises ``InstallError`` where it may go well another time,
    ``UnfitError`` where it won't.
    """
    _check_name(bundle.version)
    target = versions / bundle.version
    with _alone(versions):
        if not works(target):
            _make(bundle, target, python)
    return target


def works(target: Path) -> bool:
    """Whether the version there starts: it won't if, for one, the Python that it was made of is gone."""
    return target.is_dir() and _failing(target, target.name) == ""


def _make(bundle: Bundle, target: Path, python: str) -> None:
    check_digest(bundle)
    for left in target.parent.glob(".*.new"):
        shutil.rmtree(str(left), ignore_errors=True)
    scratch = target.with_name(f".{bundle.version}.new")
    scratch.mkdir()
    try:
        _unpack(bundle.file, scratch)
        _environment(scratch, target, python)
        why = _failing(scratch, bundle.version)
        if why:
            raise UnfitError(f"Version {bundle.version} of the agent does not start here: {why}")
        os.sync()  # it has its name only when it would outlive a loss of power
        shutil.rmtree(str(target), ignore_errors=True)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(str(scratch), ignore_errors=True)
        raise


@contextmanager
def _alone(versions: Path) -> Iterator[None]:
    """The installer and the agent may both be about to make one."""
    versions.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(str(versions / ".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def forget_others(versions: Path, *kept: str) -> list[str]:
    """Delete all complete versions but these; the names of those that went."""
    gone = [path for path in versions.glob("*") if path.name not in kept and not path.name.startswith(".")]
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
    try:
        _extract(file, into)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UnfitError(f"The agent's bundle is no archive: {error}") from error


def _extract(file: Path, into: Path) -> None:
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


def _failing(home: Path, version: str) -> str:
    """Why it does not start at all, wherever it lies; empty where it does."""
    told = run([str(home / "venv/bin/python"), "-m", "agent", "--version"], directory=home / TOP)
    return "" if told.ok and version in told.out else told.last_words


def require_options(target: Path, config: Path) -> None:
    """Raises ``UnfitError`` where the version there does not take the options in this file.

    It is asked something that every version answers: how an agent is that has never run.
    """
    if not config.exists():
        return
    python, nowhere = str(target / "venv/bin/python"), target / "no-agent-has-run-here"
    told = run([python, "-m", "agent", "status", f"@{config}", f"--state-dir={nowhere}"], directory=target / TOP)
    if told.code == _WRONG_OPTIONS:
        raise UnfitError(f"Version {target.name} of the agent does not take the options in {config}: {told.last_words}")
