"""Images with Jupyter for the tests: the demo's own, with JupyterLab, or with the packages that pip would fetch for it.

    python -m scripts.jupyter_image         make sure that the engine has both; prints their names

No image registry is asked: the packages are fetched by pip, once, and kept under var/cache.
"""

import fcntl
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.engine.labels import LENT_LABEL
from scripts import image
from scripts.services.launching import ServiceError, launch_prefix

ROOT = Path(__file__).resolve().parent.parent
RECIPE = f"1-{image.RECIPE}"
WHEELS_IMAGE = f"spotyard/jupyter-wheels:{RECIPE}"
"""Python without pip and without Jupyter; what pip needs to install JupyterLab lies in WHEELS."""
JUPYTER_IMAGE = f"spotyard/jupyter:{RECIPE}"
"""The same with JupyterLab installed."""
WHEELS = "/opt/wheels"

_PYTHON = "3.11"
"""Of the demo's image, Debian 12, whatever Python runs here."""
_GLIBCS = ("2_34", "2_31", "2_28", "2_27", "2_26", "2_17", "2_12", "2_5")
_PACKAGES = ("pip", "jupyterlab")
_INSTALL = (
    f'python3 "$(echo {WHEELS}/pip-*.whl)/pip" install -q --no-index --find-links {WHEELS} --no-compile '
    "--no-warn-script-location --break-system-packages --root-user-action ignore jupyterlab"
)


def ensure_images(cache: Path) -> tuple[str, str]:
    """Make sure that the engine, which runs, has WHEELS_IMAGE and JUPYTER_IMAGE; their names. Raises ServiceError."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "jupyter.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_present(WHEELS_IMAGE):
            _make_wheels_image(cache)
        if not _is_present(JUPYTER_IMAGE):
            with _container(WHEELS_IMAGE, "sh", "-c", _INSTALL) as container:
                _run(["docker", "start", "--attach", container], "installing JupyterLab")
                _commit(container, JUPYTER_IMAGE)
    return WHEELS_IMAGE, JUPYTER_IMAGE


def _make_wheels_image(cache: Path) -> None:
    image.ensure_image(cache)
    wheels = cache / f"jupyter-wheels-{RECIPE}"
    if not wheels.exists():
        fresh = wheels.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        _fetch(fresh)
        fresh.rename(wheels)
    with _container(image.IMAGE, "true") as container:
        _run(["docker", "cp", f"{wheels}/.", f"{container}:{WHEELS}"], "copying packages into a container")
        _commit(container, WHEELS_IMAGE)


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--dest", str(folder), "--only-binary=:all:"]
    pip += ["--python-version", _PYTHON]
    pip += [f"--platform=manylinux_{glibc}_{platform.machine()}" for glibc in _GLIBCS]
    _run([*pip, *_PACKAGES], "fetching JupyterLab")


@contextmanager
def _container(base: str, *command: str) -> Iterator[str]:
    create = ["docker", "create", "--network", "none", base, *command]
    container = _run(create, f"making a container of {base}").strip()
    try:
        yield container
    finally:
        _run(["docker", "rm", "--force", container], "removing a container")


def _commit(container: str, name: str) -> None:
    change = ["--change", 'CMD ["/bin/bash"]', "--change", f"LABEL {LENT_LABEL}={name.partition(':')[0]}"]
    _run(["docker", "commit", *change, container, name], f"making the image {name}")


def _is_present(name: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0


def _run(command: list[str], doing: str) -> str:
    result = subprocess.run(
        [*launch_prefix(die_with_parent="TERM"), *command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        raise ServiceError(f"{doing} failed (code {result.returncode}):\n{(result.stdout + result.stderr)[-3000:]}")
    return result.stdout


def main() -> int:
    """The command line."""
    try:
        print(*ensure_images(ROOT / "var" / "cache"))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
