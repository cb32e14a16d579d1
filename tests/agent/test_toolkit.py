"""How the installer brings NVIDIA's container toolkit. Programs are fakes in PATH."""

from pathlib import Path

import pytest

from agent.installer import manifest, steps, toolkit
from agent.installer.layout import Layout
from agent.installer.manifest import Manifest
from agent.installer.steps import Setup
from agent.installer.system import InstallError
from agent.installer.versions import Bundle
from tests.agent.conftest import Fake


class Machine:
    """With Docker; ``runs`` are its containers."""

    def __init__(self, fake: Fake, root: Path) -> None:
        self.fake, self.root, self.calls = fake, root, root / "calls"
        self.docker()
        self.fake("dpkg-query", "true")
        self.engine_run("first")
        apt = (
            f'echo "apt $*" >>{self.calls}',
            f'case "$*" in *install*) echo "#!/bin/sh" >{root}/bin/nvidia-ctk; chmod 755 {root}/bin/nvidia-ctk ;; esac',
        )
        self.fake("apt-get", "\n".join(apt))

    def docker(self, *runs: str, live_restore: bool = False) -> None:
        told = " ".join(runs)
        self.fake(
            "docker",
            f'case "$*" in info*Live*) echo {str(live_restore).lower()} ;; ps*) echo {told} ;; *) echo 26 ;; esac',
        )

    def engine_run(self, name: str) -> None:
        self.fake("systemctl", f'echo "systemctl $*" >>{self.calls}; case "$*" in show*) echo {name} ;; esac')

    def setup(self, *, simulated: bool = False) -> Setup:
        """As another run of the installer finds it."""
        notes = manifest.load(self.root / "manifest.json")
        return Setup("http://x", Layout(self.root), notes, Bundle(self.root, "0.1.0+a", ""), simulated=simulated)

    def install(self) -> None:
        """All that concerns the toolkit."""
        setup = self.setup()
        for step in STEPS:
            if step.plan(setup):
                step.do(setup)

    @property
    def restarted(self) -> bool:
        return self.calls.exists() and "systemctl restart docker" in self.calls.read_text()


STEPS = [step for step in steps.STEPS if step.do in (steps.bring_toolkit, steps.restart_engine)]


@pytest.fixture
def machine(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "bin/chmod").symlink_to("/usr/bin/chmod")
    monkeypatch.setattr(steps, "_fetched", lambda _url: "a key")
    return Machine(fake, tmp_path)


def test_docker_is_restarted_where_that_ends_nobody_s_containers(machine: Machine) -> None:
    assert [bool(step.plan(machine.setup())) for step in STEPS] == [True, True]
    machine.install()
    assert machine.restarted
    assert [step.plan(machine.setup()) for step in STEPS] == ["", ""]


def test_beside_containers_the_installation_ends_until_docker_was_restarted(machine: Machine) -> None:
    machine.docker("one", "two")
    assert "of which 2 run here" in steps.plan_restart(machine.setup())
    for _ in range(2):  # the same again, as long as that is so
        with pytest.raises(
            InstallError, match=r"end 2 containers(.|\n)*systemctl restart docker\. Then run this again\."
        ):
            machine.install()
    assert not machine.restarted
    machine.engine_run("second")
    machine.install()
    assert not machine.restarted, "the host has done it"


def test_containers_that_outlive_the_engine_are_no_obstacle(machine: Machine) -> None:
    machine.docker("one", live_restore=True)
    machine.install()
    assert machine.restarted


def test_an_installation_of_the_toolkit_that_was_cut_off_is_known(machine: Machine) -> None:
    setup = machine.setup()
    steps.bring_toolkit(setup)
    assert steps.plan_restart(machine.setup()) == "restart Docker, so that it finds NVIDIA's container toolkit"


def test_a_toolkit_that_was_there_before_asks_for_nothing(machine: Machine) -> None:
    machine.docker("one")
    machine.fake("nvidia-ctk", "true")
    machine.install()
    assert not machine.restarted


def test_simulated_gpus_need_none(machine: Machine) -> None:
    assert [step.plan(machine.setup(simulated=True)) for step in STEPS] == ["", ""]


def test_where_systemd_does_not_tell_docker_s_run_its_process_does(machine: Machine) -> None:
    machine.fake("systemctl", "true")
    assert toolkit.engine_run(Layout(machine.root)) == ""
    (machine.root / "run").mkdir()
    (machine.root / "run/docker.pid").write_text("417")
    assert toolkit.engine_run(Layout(machine.root)) == "417"


def test_notes_of_a_newer_installer_are_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"packages": ["a"], "of_tomorrow": 1}')
    assert manifest.load(tmp_path / "manifest.json") == Manifest(tmp_path / "manifest.json", packages=["a"])
