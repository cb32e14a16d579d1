"""The agent as a real process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
_END_SECONDS = 30


def start(
    *arguments: str | Path, module: str = "agent", environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Begin ``python -m module arguments``; its output is kept in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str | Path, module: str = "agent", environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and output of a process that ends by itself."""
    with start(*arguments, module=module, environment=environment) as process:
        output, _ = process.communicate(timeout=_END_SECONDS)
        return process.returncode, output


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and output after SIGTERM."""
    process.terminate()
    output, _ = process.communicate(timeout=_END_SECONDS)
    return process.returncode, output


@contextmanager
def running(
    *arguments: str | Path, module: str = "agent", environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed at the end of the block if it still runs."""
    process = start(*arguments, module=module, environment=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
