"""NVIDIA's container toolkit, which gives GPUs to containers: whether it is here, and whether Docker knows it."""

from __future__ import annotations

from pathlib import Path

from agent.installer.layout import Layout
from agent.installer.system import has, run

PROGRAMS = ("nvidia-container-runtime-hook", "nvidia-container-runtime", "nvidia-ctk")
PACKAGES = ("nvidia-container-toolkit",)


def program() -> str:
    """One of its programs; empty where there is none."""
    return next((name for name in PROGRAMS if has(name)), "")


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
