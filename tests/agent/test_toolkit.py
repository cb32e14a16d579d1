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

CTK = "#!/bin/sh\\necho NVIDIA Container Toolkit CLI version %s; echo commit: f202b80a9b9d0db00d9b1d73c0128c8962c55f4d"
CLI = "echo cli-version: %s; echo lib-version: %s; echo build date: 2025-05-30T13:47+0000"


class Machine:
    """With Docker; ``runs`` are its containers."""

    def __init__(self, fake: Fake, root: Path) -> None:
        self.fake, self.root, self.calls = fake, root, root / "calls"
        self.docker()
        self.fake("dpkg-query", "true")
        self.engine_run("first")
        self.apt_brings("1.17.8")

    def apt_brings(self, version: str) -> None:
        script = f'case "$*" in *install*) printf "{CTK}" {version} >{self.root}/bin/nvidia-ctk ;; esac'
        self.fake("apt-get", f'echo "apt $*" >>{self.calls}\n{script}; chmod 755 {self.root}/bin/nvidia-ctk')

    def has(self, version: str) -> None:
        """The toolkit, with the words of its own programs."""
        self.fake("nvidia-ctk", CTK.partition("\\n")[2].replace("%s", version))

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
    machine.has("1.17.8")
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


@pytest.mark.parametrize(
    ("ctk", "cli", "version"),
    [
        (CTK % "1.17.8", "", "1.17.8"),
        (CTK % "1.18.0-rc.1", CLI % ("1.17.4", "1.17.4"), "1.17.4"),
        ("", CLI % ("1.9.0", "1.9.0"), "1.9.0"),
        (CTK % "1.17.10", CLI % ("1.17.9", "1.17.9"), "1.17.9"),
        ("echo no such option; exit 1", "", ""),
        ("", "", ""),
    ],
)
def test_the_version_is_the_least_that_its_programs_tell(fake: Fake, ctk: str, cli: str, version: str) -> None:
    for name, script in (("nvidia-ctk", ctk.replace("\\n", "\n")), ("nvidia-container-cli", cli)):
        if script:
            fake(name, script)
    assert toolkit.version() == version


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        *(("1.17.8", True), ("1.17.10", True), ("1.18.0", True), ("2.0.0", True)),
        *(("1.17.7", False), ("1.16.1", False), ("1.9.0", False), ("", False), ("new", False)),
    ],
)
def test_versions_with_known_ways_out_of_a_container_are_not_safe(version: str, safe: bool) -> None:
    assert toolkit.is_safe(version) == safe


def test_an_old_toolkit_is_upgraded_without_a_restart(machine: Machine) -> None:
    machine.docker("one")
    machine.has("1.17.4")
    assert "upgrade NVIDIA's container toolkit 1.17.4: guests can break out" in steps.plan_toolkit(machine.setup())
    machine.install()
    assert toolkit.version() == "1.17.8"
    assert "libnvidia-container1" in machine.calls.read_text()
    assert not machine.restarted
    assert [step.plan(machine.setup()) for step in STEPS] == ["", ""]


def test_one_that_apt_does_not_make_newer_ends_the_installation(machine: Machine) -> None:
    machine.has("1.16.1")
    machine.apt_brings("1.16.2")
    with pytest.raises(InstallError, match=r"is 1\.16\.2 still, and has to be 1\.17\.8 or newer"):
        machine.install()


@pytest.mark.parametrize("words", ["deb [arch=amd64] ", "URIs: ", "# deb "])
def test_a_repository_that_the_host_has_is_not_added_again(machine: Machine, words: str) -> None:
    """apt refuses to work where two sources of the same have different keys."""
    mine = machine.root / "etc/apt/sources.list.d/nvidia.sources"
    mine.parent.mkdir(parents=True)
    mine.write_text(f"{words}https://nvidia.github.io/libnvidia-container/stable/deb/amd64 /\n")
    machine.install()
    assert (mine.parent / "spotyard-nvidia-container-toolkit.list").exists() == words.startswith("#")
