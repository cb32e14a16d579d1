"""NVIDIA's container toolkit, which gives GPUs to containers: whether it is here, how old, and whether Docker knows it.

It works as root on what guests' images say, so a mistake in it lets a guest out of the container. Known ones are
CVE-2024-0132 (up to 1.16.1), CVE-2025-23359 (up to 1.17.3) and CVE-2025-23266 (up to 1.17.7).
"""

from __future__ import annotations

import re
from pathlib import Path

from agent.installer.layout import Layout
from agent.installer.system import has, run

PROGRAMS = ("nvidia-container-runtime-hook", "nvidia-container-runtime", "nvidia-ctk")
PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
LEAST = "1.17.8"
"""The marketplace's published requirements say the same."""
REPOSITORY = "https://nvidia.github.io/libnvidia-container"
REMEDY = (
    f"Guests can break out of containers with one older than {LEAST}: upgrade with apt-get install --only-upgrade "
    "{} from NVIDIA's repository, or run the marketplace's installer again.".format(" ".join(PACKAGES))
)
_VERSION = re.compile(r"\b(\d+)\.(\d+)\.(\d+)")


def program() -> str:
    """One of its programs; empty where there is none."""
    return next((name for name in PROGRAMS if has(name)), "")


def version() -> str:
    """As its programs tell it, the oldest where they differ: "1.17.8". Empty where none does."""
    told = (run([name, "--version"]) for name in ("nvidia-ctk", "nvidia-container-cli"))
    found = [_numbers(output.out) for output in told if output.ok]
    return ".".join(map(str, min((numbers for numbers in found if numbers), default=())))


def is_safe(text: str) -> bool:
    """Whether nothing is known that lets guests out of their containers with this version."""
    return _numbers(text) >= _numbers(LEAST)


def _numbers(text: str) -> tuple[int, ...]:
    found = _VERSION.search(text)
    return tuple(map(int, found.groups())) if found else ()


def is_in_sources(root: Path, ours: Path) -> bool:
    """Whether apt knows NVIDIA's repository by another file than this."""
    files = {root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").glob("*.[ls]*")} - {ours}
    lines = (line.strip() for file in files for line in _read(file).splitlines())
    return any(REPOSITORY in line and not line.startswith("#") for line in lines)


def engine_run(layout: Layout) -> str:
    """What is another each time that Docker starts, which looks for the toolkit only then."""
    told = run(["systemctl", "show", "--property=InvocationID", "--value", "docker.service"]).out.strip()
    return told or _read(layout.root / "run/docker.pid")


def restart_ends() -> int:
    """How many containers a restart of Docker would end now."""
    if run(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"]).out.strip() == "true":
        return 0
    return len(run(["docker", "ps", "--quiet"]).out.split())


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
