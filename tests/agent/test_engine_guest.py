"""SSH into images of all kinds on the real engine: with the real ssh, scp, sftp and rsync, as clients use them."""

import shlex
import subprocess
from pathlib import Path

import docker
import pytest

from agent.protocol import DesiredTask
from scripts.guest_tools import ensure_bundle
from tests import images
from tests.agent.fakes import changed
from tests.agent.host import Host

pytestmark = pytest.mark.engine

ENVIRONMENT = {
    "PLAIN": "value",
    "SPACES": "  two  words ",
    "QUOTES": """it's "quoted" `here` $HOME \\ back""",
    "HASH": "#a=b=#",
    "LINES": "first\n'second'\n\nlast",
}


@pytest.fixture(scope="session")
def bundle() -> bytes:
    """The guest tools of this machine."""
    return ensure_bundle().read_bytes()


@pytest.fixture
def lending(host: Host, bundle: bytes) -> Host:
    """A host whose marketplace has guest tools."""
    host.market.lend(bundle)
    return host


def running(host: Host, wish: DesiredTask) -> DesiredTask:
    """The task, answering over SSH."""
    host.start()
    host.market.desire(wish)
    told = host.market.await_phase(wish.task_id, "running", wish.run_generation)
    assert told.reason is None
    return wish


def image_of(kind: str, host: Host, demo_image: str) -> str:
    """Debian as it is with its own SSH server, or one of the small images."""
    return demo_image if kind == "debian" else images.build(kind, host.engine)  # type: ignore[arg-type]  # a Kind


@pytest.mark.parametrize("kind", ["debian", "nosshd", "alpine", "shellonly", "brokensshd"])
def test_everything_that_clients_do_works_in_every_image(
    lending: Host, kind: str, demo_image: str, tmp_path: Path
) -> None:
    host = lending
    wish = running(host, host.task(image=image_of(kind, host, demo_image), env=ENVIRONMENT))
    assert host.ssh(wish, "echo $VAST_CONTAINERLABEL; echo out; echo err >&2; exit 7").returncode == 7
    check_environment(host, wish)
    check_copies(host, wish, tmp_path)
    check_pipe(host, wish)
    check_tools(host, wish)


def check_environment(host: Host, wish: DesiredTask) -> None:
    """The container's variables are in every kind of session, whatever is in them."""
    show = "".join(f"printf '%s|' \"${name}\"; " for name in ENVIRONMENT)
    expected = "".join(f"{value}|" for value in ENVIRONMENT.values())
    assert host.ssh(wish, show).stdout == expected
    assert host.ssh(wish, "", text=show).stdout.endswith(expected), "a login shell that reads its commands"
    assert host.ssh(wish, f"sh -lc {shlex.quote(show)}").stdout.endswith(expected)
    assert host.ssh(wish, "echo $SSH_PUBLIC_KEY").stdout.strip() == host.public_key
    port = wish.spec.ports[0].host_port
    assert host.ssh(wish, "echo $VAST_TCP_PORT_22 ${SSH_ORIGINAL_COMMAND-none}").stdout == f"{port} none\n"


def check_copies(host: Host, wish: DesiredTask, folder: Path) -> None:
    """Files come and go by scp in both its protocols, sftp and rsync."""
    port = str(wish.spec.ports[0].host_port)
    data = folder / "data"
    data.mkdir()
    (data / "a file").write_bytes(bytes(range(256)) * 4000)
    options = [*host.ssh_options, "-q", "-P", port]
    for number, protocol in enumerate([[], ["-O"]]):
        there, back = f"root@127.0.0.1:/root/scp{number}", folder / f"scp{number}"
        assert host.client("scp", *options, *protocol, "-r", str(data), there).returncode == 0
        assert host.client("scp", *options, *protocol, "-r", there, str(back)).returncode == 0
        assert (back / "a file").read_bytes() == (data / "a file").read_bytes()
    batch = f'put "{data}/a file" /root/by-sftp\nget /root/by-sftp {folder}/by-sftp\n'
    done = host.client("sftp", *options, "-b", "-", "root@127.0.0.1", text=batch)
    assert done.returncode == 0, done
    assert (folder / "by-sftp").read_bytes() == (data / "a file").read_bytes()
    shell = shlex.join(["ssh", *host.ssh_options, "-p", port])
    for source, target in ((f"{data}/", "root@127.0.0.1:/root/r/"), ("root@127.0.0.1:/root/r/", f"{folder}/r/")):
        done = host.client("rsync", "-az", "-e", shell, source, target)
        assert done.returncode == 0, done
    assert (folder / "r" / "a file").read_bytes() == (data / "a file").read_bytes()


def check_pipe(host: Host, wish: DesiredTask) -> None:
    """Binary data passes through a command unchanged."""
    port = str(wish.spec.ports[0].host_port)
    data = bytes(range(256)) * 1000
    command = ["ssh", *host.ssh_options, "-p", port, "root@127.0.0.1", "cat"]
    if host.ssh(wish, "command -v cat").returncode == 0:
        assert subprocess.run(command, input=data, capture_output=True, timeout=20, check=True).stdout == data


def check_tools(host: Host, wish: DesiredTask) -> None:
    """Programs that the image lacks are there, and run beside whatever the client preloads."""
    for program in (
        "curl --version",
        "rsync --version",
        "tmux -V",
        "ssh -V",
        "ssh-keygen -lf /.spotyard/hostkeys/ed25519",
    ):
        done = host.ssh(wish, f"LD_LIBRARY_PATH=/nowhere LD_PRELOAD=/nowhere.so {program}")
        assert done.returncode == 0, done
    assert "Read-only" in host.ssh(wish, "echo x >/.spotyard/tools/bin/curl").stderr
