"""What systemd itself says of the unit that the installer writes. It need not run here, nor is anything started."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.installer.layout import SERVICE, Layout
from agent.installer.service import unit
from tests.plumbing.unavailable import unavailable

MOST_EXPOSURE = 60
"""In tenths, of 100. Most of what is left is root, the network, the devices, and the mounts of guests' disks."""
ENGINES = {"at its usual place": ("/var/lib/docker", 0), "in a home directory": ("/home/engine", 2)}
"""Where its data lies, and what it costs that homes can't be closed to the agent then."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> tuple[str, int]:
    found: tuple[str, int] = ENGINES[request.param]
    return found


@pytest.fixture
def file(tmp_path: Path, engine: tuple[str, int]) -> Path:
    """The unit, of an installation whose programs are there."""
    layout = Layout(tmp_path / "root")
    path = tmp_path / SERVICE
    path.write_text(unit(layout, "https://site.example", sys.executable, Path(engine[0])))
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze") or unavailable("systemd-analyze is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_accepts_the_unit(file: Path) -> None:
    """Settings that it does not know, or can't read, would be warnings; it says nothing at all."""
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_check_sees_what_is_wrong(file: Path) -> None:
    file.write_text(file.read_text().replace("ProtectSystem=full", "ProtectSystem=fully"))
    assert "protect system" in analyze("verify", "--man=no", "--recursive-errors=no", str(file)).stderr


def test_little_is_exposed(file: Path, engine: tuple[str, int]) -> None:
    most = MOST_EXPOSURE + engine[1]
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={most}", str(file))
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overall exposure level" in done.stdout
