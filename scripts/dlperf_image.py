"""The image of the benchmark program for the demo and the tests: the demo's own, torch for CPUs, and the program.

    python -m scripts.dlperf_image          make sure that the engine has it; prints its name

Machines with GPUs need an image whose torch is built with CUDA: see dlperf/workload/Dockerfile. This one asks no image
registry: torch's packages are fetched by pip, once, and kept under var/cache. Two layers on the demo's image, so that a
change of the program copies some kilobytes only.
"""

import fcntl
import hashlib
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
TORCH = "2.13.0"
TORCH_IMAGE = f"spotyard/torch:{TORCH}-{image.RECIPE}"
REPOSITORY = "spotyard/dlperf"

_PYTHON = "3.11"
"""Of the demo's image, Debian 12, whatever Python runs here."""
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_NEEDS = ("filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec")
_NOT_WANTED = ("bin", "torch/include", "torch/test")


def name() -> str:
    """The image's name, another one for each version of the program."""
    digest = hashlib.sha256(TORCH_IMAGE.encode())
    for path in _program():
        digest.update(path.name.encode() + path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def ensure_image(cache: Path) -> str:
    """Make sure that the engine, which runs, has the image; its name. Raises ServiceError."""
    wanted = name()
    with _alone(cache / "dlperf.lock"):
        if not _is_present(wanted):
            _ensure_torch(cache)
            with _folder(cache / "dlperf-program") as folder:
                for path in _program():
                    copy = folder / path.relative_to(ROOT)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
                _layer(TORCH_IMAGE, folder, "/opt/dlperf", wanted)
    return wanted


def _program() -> list[Path]:
    parts = (ROOT / "dlperf" / "workload", ROOT / "dlperf" / "challenge")
    alone = [ROOT / "dlperf" / name for name in ("__init__.py", "cuda.py")]
    return [*alone, *(path for part in parts for path in sorted(part.glob("*.py")))]


def _ensure_torch(cache: Path) -> None:
    if _is_present(TORCH_IMAGE):
        return
    image.ensure_image(cache)
    packages = cache / f"torch-{TORCH}-{_PYTHON}"
    if not packages.exists():
        with _folder(packages.with_suffix(".new")) as folder:
            _fetch_torch(folder)
            folder.rename(packages)
    _layer(image.IMAGE, packages, "/opt/torch", TORCH_IMAGE)


def _fetch_torch(folder: Path) -> None:
    """PyPI's torch for Linux brings gigabytes of CUDA: the one for CPUs is where pip's own settings have it, or with
    PyTorch. Not compiled: a run imports a small part of it."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(folder)]
    pip += ["--no-deps", "--only-binary=:all:", "--python-version", _PYTHON]
    pip += [f"--platform={platform}" for platform in _PLATFORMS]
    try:
        _run([*pip, "--no-index", f"torch=={TORCH}"], "installing torch from this machine")
    except ServiceError:
        _run([*pip, "--index-url", _CPU_INDEX, f"torch=={TORCH}"], "installing torch for CPUs")
    needs = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(folder)]
    needs += ["--only-binary=:all:", "--python-version", _PYTHON, *(f"--platform={p}" for p in _PLATFORMS)]
    _run([*needs, *_NEEDS], "installing what torch needs")
    for unwanted in _NOT_WANTED:
        shutil.rmtree(folder / unwanted, ignore_errors=True)


def _layer(base: str, folder: Path, place: str, result: str) -> None:
    """Make an image of ``base`` with what is in ``folder`` at ``place``, without any image builder."""
    container = _run(["docker", "create", base, "true"], f"making a container of {base}").strip()
    try:
        _run(["docker", "cp", f"{folder}/.", f"{container}:{place}"], f"copying {folder} into a container")
        lent = f"LABEL {LENT_LABEL}={result.partition(':')[0]}"
        changes = ["--change", lent, "--change", "ENV PYTHONPATH=/opt/torch:/opt/dlperf", "--change", "WORKDIR /tmp"]
        _run(["docker", "commit", *changes, container, result], f"making the image {result}")
    finally:
        _run(["docker", "rm", "--force", container], "removing a container")


def _is_present(wanted: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", wanted], capture_output=True, check=False).returncode == 0


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """The demo and a test run may want the image at the same moment."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards, unless it was renamed."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


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
        print(ensure_image(ROOT / "var" / "cache"))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
