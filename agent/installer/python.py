"""Finds a Python that the agent runs on, or fetches one where the system's is too old.

Debian 12 and Ubuntu 24.04 have one. For Ubuntu 20.04 and 22.04, uv fetches a build of CPython that stands for itself
and checks it against the digest that uv carries; it lies below /opt/spotyard and is nobody else's.
"""

from __future__ import annotations

import sys

from agent.installer.layout import Layout
from agent.installer.system import InstallError, change, has, run

LEAST = (3, 11)
_FETCHED = "3.12"
_UV = "uv==0.13.9"
_REMEDY = (
    "The agent needs Python {}.{}, and this system's is older. Let this machine reach pypi.org and github.com, or "
    "install a newer Python with its venv module so that python{} is found; then run this again."
).format(*LEAST, _FETCHED)
_NAMES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")


def system_python() -> str | None:
    """The first on PATH that is new enough; None where there is none."""
    return next((name for name in _NAMES if has(name) and version_of(name) >= LEAST), None)


def version_of(python: str) -> tuple[int, int]:
    """(0, 0) where it does not run."""
    told = run([python, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"])
    parts = told.out.split()
    return (int(parts[0]), int(parts[1])) if told.ok and len(parts) == 2 else (0, 0)


def missing_packages(python: str | None) -> list[str]:
    """What apt has to bring for virtual environments. ``python3`` is what fetches another Python, too."""
    name = python or "python3"
    told = run([name, "-c", "import ensurepip, venv"])
    return [] if told.ok else ["python3-venv" if name == "python3" else name + "-venv"]


def fetched_python(layout: Layout) -> str | None:
    """One that was fetched already."""
    found = sorted((layout.opt / "python").glob(f"cpython-{_FETCHED}*/bin/python3"))
    return str(found[0]) if found else None


def fetch_python(layout: Layout) -> str:
    """Raises ``InstallError``."""
    try:
        return _fetched_now(layout)
    except InstallError as error:
        raise InstallError(f"{error}\n\n{_REMEDY}") from error


def _fetched_now(layout: Layout) -> str:
    tools = layout.opt / "tools"
    if not (tools / "bin/uv").exists():
        change([sys.executable, "-m", "venv", "--clear", str(tools)], "Making room for uv")
        pip = [str(tools / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        change([*pip, _UV], "Installing uv, which fetches Python")
    env = {"UV_PYTHON_INSTALL_DIR": str(layout.opt / "python"), "UV_NO_CACHE": "1", "UV_NO_CONFIG": "1"}
    change([str(tools / "bin/uv"), "python", "install", "--no-bin", _FETCHED], "Fetching Python " + _FETCHED, env)
    found = fetched_python(layout)
    if found is None:
        raise InstallError("Python {} was fetched, but is not in {}".format(_FETCHED, layout.opt / "python"))
    return found
