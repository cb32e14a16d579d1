"""What an uninstallation takes away, and what it leaves. The engine and apt are fakes in PATH."""

import subprocess
from pathlib import Path

import pytest

from agent.installer import removal
from agent.installer.layout import Layout
from agent.installer.manifest import Manifest
from agent.installer.system import InstallError

ANONYMOUS = "0123456789abcdef" * 4


class Machine:
    """A root directory with an installation in it, and a log of what was done with the programs."""

    def __init__(self, root: Path, bin_: Path) -> None:
        self.layout = Layout(root)
        self.bin, self.calls = bin_, root / "calls"
        self.engine: dict[str, str] = {}
        for directory in (self.layout.etc, self.layout.var, self.layout.log, self.layout.opt):
            directory.mkdir(parents=True)
        (self.layout.var / "owner").write_text("7-abc\n")
        self.manifest = Manifest(self.layout.manifest, packages=["docker.io", "containerd", "nftables"], engine=True)
        self.manifest.save()
        self.program("apt-get", 'case "$*" in *simulate*) ;; *) exit 0 ;; esac; cat apt-says 2>/dev/null')
        self.program("systemctl", "true")

    def program(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f'#!/bin/sh\ncd {self.layout.root}\necho "{name} $*" >>calls\n{script}\n')
        (self.bin / name).chmod(0o755)

    def keep(self, listing: str, *found: str) -> None:
        """What the engine answers where all these words are among its arguments, and no filter but one of these."""
        self.engine[listing] = "\\n".join(found)
        cases = "\n".join(f'"{words}") printf "{found}\\n" ;;' for words, found in self.engine.items())
        self.program("docker", f'case "$*" in\n{cases}\nesac')

    def done(self, program: str) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(program)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in ("sh", "cat", "printf"):
        found = subprocess.run(["sh", "-c", f"which {tool}"], capture_output=True, text=True, check=True)
        (bin_ / tool).symlink_to(found.stdout.strip())
    monkeypatch.setenv("PATH", str(bin_))
    return Machine(tmp_path / "root", bin_)


def test_it_refuses_while_clients_have_anything_here(machine: Machine) -> None:
    machine.keep("volume ls --quiet --filter label=spotyard.owner=7-abc --filter label=spotyard.volume", "v1", "v2")
    with pytest.raises(InstallError, match="This machine has 2 volumes of clients"):
        removal.remove(machine.layout, machine.manifest, dry=False, force=False)
    machine.keep("ps --all --quiet --filter label=spotyard.owner=7-abc", "c1")
    with pytest.raises(InstallError, match="1 container and 2 volumes of clients"):
        removal.remove(machine.layout, machine.manifest, dry=False, force=False)
    assert machine.done("apt-get") == []
    assert machine.layout.opt.exists()
    unit = machine.layout.unit
    unit.parent.mkdir(parents=True)
    unit.touch()
    with pytest.raises(InstallError):
        removal.remove(machine.layout, machine.manifest, dry=False, force=False)
    assert machine.done("systemctl") == [
        "systemctl stop spotyard-agent.service",
        "systemctl start spotyard-agent.service",
    ]
    assert unit.exists()


def test_nothing_begins_while_it_looks_whether_somebody_is_here(machine: Machine) -> None:
    machine.keep("ps --all --quiet --filter label=spotyard.owner=7-abc")
    machine.layout.unit.parent.mkdir(parents=True)
    machine.layout.unit.touch()
    removal.remove(machine.layout, machine.manifest, dry=False, force=False)
    calls = machine.done("")
    first = next(number for number, call in enumerate(calls) if call.startswith("docker ps"))
    assert "systemctl stop spotyard-agent.service" in calls[:first]


def test_images_that_were_fetched_for_guests_go_and_volumes_are_unmounted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_VOLUME_NAMES", "names")  # its quotes are not for a pattern of a shell's
    machine.keep("ps --all --quiet --filter label=spotyard.owner=7-abc", "c1")
    machine.keep("volume ls --quiet --filter label=spotyard.owner=7-abc", "v1")
    machine.keep("inspect --format names c1", ANONYMOUS, "v1")
    machine.keep("info --format {{.DockerRootDir}}", str(machine.layout.root / "engine"))
    (machine.layout.root / "engine").mkdir()
    machine.program("umount", "true")
    (machine.layout.var / "fetched-images.json").write_text('{"images": {"sha256:1": {}, "sha256:2": {}}, "begun": {}}')
    removal.remove(machine.layout, machine.manifest, dry=False, force=True)
    volumes = machine.layout.root / "engine/volumes"
    assert machine.done("umount") == [f"umount {volumes}/{ANONYMOUS}", f"umount {volumes}/v1"]
    assert machine.done("docker image rm sha256") == ["docker image rm sha256:1", "docker image rm sha256:2"]


def test_with_force_what_clients_have_goes(machine: Machine) -> None:
    machine.keep("ps --all --quiet --filter label=spotyard.owner=7-abc", "c1")
    machine.keep("volume ls --quiet --filter label=spotyard.owner=7-abc", "v1")
    disks = machine.layout.root / "engine/spotyard-disks"
    disks.mkdir(parents=True)
    machine.keep("info --format {{.DockerRootDir}}", str(disks.parent))
    removal.remove(machine.layout, machine.manifest, dry=False, force=True)
    assert "docker rm --force --volumes c1" in machine.done("docker")
    assert "docker volume rm --force v1" in machine.done("docker")
    assert machine.done("apt-get")[-1].endswith("purge --yes -q docker.io containerd nftables")
    assert not machine.layout.opt.exists()
    assert not machine.layout.var.exists()
    assert not disks.exists()


def test_docker_stays_where_others_use_it_by_now(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.keep("ps --all --quiet", "mine")
    machine.keep("volume ls --quiet", "data", ANONYMOUS)
    said = 'case "$*" in *nftables*) echo "Purg nftables* [1]" ;; *) echo "Purg docker.io* [1]"; esac'
    machine.program("apt-get", f'case "$*" in *simulate*) {said} ;; esac')
    (machine.layout.root / "var/lib/docker").mkdir(parents=True)
    removal.remove(machine.layout, machine.manifest, dry=False, force=False)
    assert "it keeps 1 container and 1 volume that others made" in capsys.readouterr().out
    assert machine.done("apt-get")[-1].endswith("purge --yes -q nftables")
    assert (machine.layout.root / "var/lib/docker").exists()


def test_a_package_that_something_newer_needs_stays(machine: Machine) -> None:
    machine.keep("nothing")
    nftables = 'echo "Remv firewalld [1]"; echo "Purg nftables [1]"'
    machine.program("apt-get", f'case "$*" in *nftables*) {nftables} ;; *) echo "Purg docker.io [1]"; esac')
    assert removal.unneeded(["docker.io", "nftables"]) == ["docker.io"]
    assert removal.unneeded([]) == []


def test_a_dry_run_does_nothing(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.keep("nothing")
    removal.remove(machine.layout, machine.manifest, dry=True, force=False)
    assert "would remove the packages docker.io containerd nftables" in capsys.readouterr().out
    assert machine.done("systemctl") == []
    assert not any("purge --yes" in line for line in machine.done("apt-get"))
    assert machine.layout.opt.exists()
