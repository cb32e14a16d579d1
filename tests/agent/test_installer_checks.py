"""What the installer looks at, and what it says to do about each thing that is wanting. Programs are fakes in PATH."""

import ast
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.engine.own_disks import OwnDisks
from agent.installer import checks, joining, launch, manifest, python, removal, service, steps, system, versions
from agent.installer.checks import Check
from agent.installer.layout import Layout
from agent.installer.manifest import Manifest, parse_packages
from agent.installer.system import InstallError
from tests.agent.conftest import Fake
from tests.agent.program import ROOT

GTX_1080 = "NVIDIA GeForce GTX 1080, 6.1, 8192, 550.54.14"
RTX_3090 = "NVIDIA GeForce RTX 3090, 8.6, 24576, 550.54.14"
BANNER = "| NVIDIA-SMI 550.54.14   Driver Version: 550.54.14   CUDA Version: 12.4 |"


def smi(fake: Fake, *rows: str, banner: str = BANNER) -> dict[str, Check]:
    lines = "\\n".join(rows)
    fake("nvidia-smi", f"case \"$*\" in *query*) printf '{lines}\\n' ;; *) echo '{banner}' ;; esac")
    return {check.title: check for check in checks.graphics(Path("/nowhere"))}


def test_gpus_that_are_fine(fake: Fake) -> None:
    found = smi(fake, RTX_3090, RTX_3090)
    assert str(found["GPUs"]) == "ok    GPUs: 2x NVIDIA GeForce RTX 3090"
    assert str(found["Driver"]) == "ok    Driver: 550.54.14, CUDA 12.4"
    assert not smi(fake, GTX_1080)["GPUs"].remedy


@pytest.mark.parametrize(
    ("rows", "banner", "title", "remedy"),
    [
        (["NVIDIA GeForce GTX 980, 5.2, 4096, 470.1"], BANNER, "GPUs", "older than the GTX 10 series"),
        ([GTX_1080, RTX_3090], BANNER, "GPUs", "have to be of one model"),
        ([""], BANNER, "GPUs", "nvidia-smi lists no GPU"),
        ([RTX_3090], "CUDA Version: 11.4", "Driver", "install driver 525 or newer"),
        ([RTX_3090], "nothing", "Driver", "install driver 525 or newer"),
    ],
)
def test_gpus_that_will_not_do(fake: Fake, rows: list[str], banner: str, title: str, remedy: str) -> None:
    check = smi(fake, *rows, banner=banner)[title]
    assert check.stops
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("script", "remedy"),
    [
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", "restart the machine"),
        ("echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2", "The driver is too old"),
        ("echo 'NVIDIA-SMI has failed'; exit 9", "Install NVIDIA's driver"),
    ],
)
def test_a_driver_that_does_not_work(fake: Fake, script: str, remedy: str) -> None:
    fake("nvidia-smi", script)
    (check,) = checks.graphics(Path("/nowhere"))
    assert check.stops
    assert remedy in check.remedy


@pytest.mark.usefixtures("fake")
def test_without_a_driver_the_gpus_are_looked_for(tmp_path: Path) -> None:
    (check,) = checks.graphics(tmp_path)
    assert "passed through" in check.remedy
    assert '--simulate "2x RTX 3090"' in check.remedy
    for number, (vendor, kind) in enumerate(
        [("10de", "030000"), ("10de", "040300"), ("8086", "030000"), ("10de", "030200")]
    ):
        device = tmp_path / f"sys/bus/pci/devices/0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"0x{vendor}\n")
        (device / "class").write_text(f"0x{kind}\n")
    (check,) = checks.graphics(tmp_path)
    assert check.told == "2 of NVIDIA's, but no driver (nvidia-smi)"
    assert "ubuntu-drivers install" in check.remedy


@pytest.mark.parametrize(
    ("release", "stops", "remedy"),
    [
        ('ID=ubuntu\nVERSION_ID="20.04"', False, ""),
        ('ID=ubuntu\nVERSION_ID="24.04"', False, ""),
        ('ID=debian\nVERSION_ID="12"', False, ""),
        ('ID=ubuntu\nVERSION_ID="18.04"', True, "Install Ubuntu 20.04"),
        ('ID=debian\nVERSION_ID="11"', True, "or Debian 12"),
        ('ID=debian\nVERSION_ID="13"', False, "Newer than"),
        ("ID=fedora\nVERSION_ID=41", True, "Install Ubuntu"),
        ("", True, "Install Ubuntu"),
    ],
)
def test_systems(tmp_path: Path, release: str, stops: bool, remedy: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(release)
    check = checks.operating_system(tmp_path)
    assert check.stops == stops
    assert remedy in check.remedy


def test_rights_architecture_and_systemd(tmp_path: Path) -> None:
    assert checks.rights(1000).remedy == "Run it as root: put sudo before bash."
    assert not checks.rights(0).remedy
    assert "x86-64" in checks.architecture("aarch64").remedy
    assert "systemd=true" in checks.systemd(tmp_path).remedy
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert not checks.systemd(tmp_path).remedy


def test_disks(tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4_000_000_000}))
    (tmp_path / "bin/stat").unlink()
    fake("stat", "echo ext2/ext3")
    assert "Free 10 GB at least" in checks.disk(tmp_path).remedy
    for kind in ("tmpfs", "nfs", "overlayfs"):
        fake("stat", f"echo {kind}")
        assert "local ext4, xfs or btrfs" in checks.disk(tmp_path).remedy


def test_where_the_engine_keeps_its_data(tmp_path: Path, fake: Fake) -> None:
    (tmp_path / "var").mkdir()
    assert checks.engine_directory(tmp_path) == tmp_path / "var"
    fake("docker", f"echo {tmp_path}")
    assert checks.engine_directory(tmp_path) == tmp_path


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz/" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_network(site: str) -> None:
    assert not checks.network(site).remedy
    assert "HTTP status 503" in checks.network(f"{site}/elsewhere").told
    away = checks.network("http://127.0.0.1:9")
    assert "refused" in away.told
    assert "name server" in away.remedy


def test_ports_that_are_taken(site: str) -> None:
    port = int(site.rpartition(":")[2])
    assert "choose another range with --ports" in checks.ports(port, port).remedy


@pytest.mark.parametrize(
    ("script", "kind", "remedy"),
    [
        ("echo 26.1", "docker", ""),
        ("echo 'Cannot connect' >&2; exit 1", "stopped", ""),
        ("echo podman version 4", "podman", "apt-get remove podman-docker"),
    ],
)
def test_engines(fake: Fake, script: str, kind: str, remedy: str) -> None:
    assert checks.engine_kind() == "absent"
    fake("docker", script)
    assert checks.engine_kind() == kind
    assert remedy in checks.engine().remedy


def test_only_what_is_new_is_ours_to_remove(tmp_path: Path, fake: Fake) -> None:
    fake("dpkg-query", f"cat {tmp_path}/installed")
    (tmp_path / "installed").write_text("ii  bash\nii  libc6:amd64\nrc  gone\n")
    notes = Manifest(tmp_path / "manifest.json")

    def install() -> None:
        (tmp_path / "installed").write_text("ii  bash\nii  libc6:amd64\nii  docker.io\nii  containerd\n")
        raise InstallError("cut off")

    with pytest.raises(InstallError):
        notes.bring(install)
    again = manifest.load(tmp_path / "manifest.json")  # another run, which knows what there was before
    again.settle()
    assert manifest.load(tmp_path / "manifest.json").packages == ["containerd", "docker.io"]
    assert again.engine
    assert parse_packages("ii  a:i386\nrc  b\n") == ["a"]


def test_a_source_of_packages_that_is_out_of_order_matters_only_where_something_is_missing(fake: Fake) -> None:
    fake("apt-get", 'case "$*" in *update*) echo "E: The repository is not signed" >&2; exit 100 ;; esac')
    steps._apt(["nftables"])
    fake("apt-get", 'echo "E: $*" >&2; exit 100')
    with pytest.raises(InstallError, match=r"Installing nftables failed(.|\n)*apt-get update failed: E: "):
        steps._apt(["nftables"])


def test_a_python_that_is_too_old_is_not_taken(fake: Fake) -> None:
    fake("python3", "echo 3 8")
    assert python.system_python() is None
    fake("python3.12", "echo 3 12")
    assert python.system_python() == "python3.12"
    fake("python3.12", 'case "$*" in *ensurepip*) exit 1 ;; *) echo 3 12 ;; esac')
    assert python.missing_packages("python3.12") == ["python3.12-venv"]
    assert python.missing_packages(None) == []


def test_a_python_that_can_t_be_fetched_can_be_brought_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InstallError, match=r"Installing uv(.|\n)*so that python3\.12 is found; then run this again"):
        python.fetch_python(Layout(tmp_path))


def test_options_that_a_host_added_outlive_an_upgrade() -> None:
    text = "# mine\n--server=http://old\n--disk-gb=200\n"
    told = service.merged(text, ["--server=http://new", "--ports=1-2"])
    assert told == "# mine\n--server=http://new\n--disk-gb=200\n--ports=1-2\n"
    assert service.merged(told, ["--ports=1-2", "--server=http://new"]) == told


def test_the_unit_leaves_the_engine_s_directory_within_reach() -> None:
    layout = Layout()
    assert "ProtectHome=yes" in service.unit(layout, "http://x", "/usr/bin/python3", Path("/var/lib/docker"))
    assert "ProtectHome" not in service.unit(layout, "http://x", "/usr/bin/python3", Path("/home/docker"))


def test_how_joining_went() -> None:
    told = {"version": "a", "connected": True, "machine_id": 7}
    assert joining.judge(told, "a") == joining.Joined(7, "a")
    assert joining.judge(told, "b") is None
    assert joining.judge({"version": "a", "machine_id": 7}, "a") is None
    with pytest.raises(InstallError, match=r"refused this machine: No\."):
        joining.judge({"version": "a", "refused": "No."}, "a")


def test_a_bundle_that_is_damaged_or_strange_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bundle"
    file.write_bytes(b"x")
    with pytest.raises(InstallError, match="damaged"):
        versions.make_version(versions.Bundle(file, "0.1.0+a", "0" * 64), tmp_path, "python3")
    with pytest.raises(versions.UnfitError, match="can't be a version"):
        versions.make_version(versions.Bundle(file, "../x", "0" * 64), tmp_path, "python3")


def test_the_installer_runs_on_the_oldest_python_that_is_promised() -> None:
    """Its syntax is Python 3.8's, and it imports the standard library and itself only."""
    for file in [*(ROOT / "agent/installer").glob("*.py"), ROOT / "agent/__init__.py"]:
        tree = ast.parse(file.read_text(), feature_version=(3, 8))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        others = {name for name in imported if name.partition(".")[0] in ("agent", "msgspec", "requests", "docker")}
        assert all(name.startswith("agent.installer") for name in others), f"{file} imports {others}"


def test_what_the_launcher_knows_of_places_is_what_the_installer_knows() -> None:
    layout, places = Layout(), launch.Places()
    assert (places.opt, places.state, places.config, places.token) == (
        layout.opt,
        layout.launch_state,
        layout.config,
        layout.token,
    )
    assert removal.OWNER_LABEL == "spotyard.owner"
    assert OwnDisks(Path("/x"))._place == Path("/x") / removal._DISKS
    assert steps.STEPS[-1].do is steps.start_service
    assert system.run(["no-such-program"]).code == 127
