"""Other programs, and files, as the installer uses them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

LOOK_SECONDS = 60.0
CHANGE_SECONDS = 1800.0


class InstallError(Exception):
    """Something went wrong for good; the text says what, and what to do."""


@dataclass(frozen=True)
class Output:
    """What a program said. ``code`` is 127 where there is no such program."""

    code: int
    out: str
    err: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def last_words(self) -> str:
        """The last line that it wrote, for a report of its failure."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with status {self.code}"


def run(
    command: Sequence[str],
    seconds: float = LOOK_SECONDS,
    env: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Output:
    """Run a program to its end, without any input."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
        )
    except FileNotFoundError:
        return Output(127, "", f"{command[0]} is not installed")
    except OSError as error:
        return Output(126, "", f"{command[0]} could not be run: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Output(124, "", f"{command[0]} did not end within {seconds:.0f} seconds")
    return Output(done.returncode, done.stdout, done.stderr)


def change(command: Sequence[str], doing: str, env: Mapping[str, str] | None = None) -> None:
    """Run a program that has to succeed. Raises ``InstallError``."""
    done = run(command, CHANGE_SECONDS, env)
    if not done.ok:
        tail = "\n".join((done.err or done.out).splitlines()[-8:])
        raise InstallError("{} failed: {}\n{}".format(doing, " ".join(command), tail))


def has(program: str) -> bool:
    return shutil.which(program) is not None


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace a file as a whole, unless it says this already; whether it was replaced."""
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    descriptor = os.open(str(scratch), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    return True
