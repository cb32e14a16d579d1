"""SSH into images of all kinds on the real engine: with the real ssh, scp, sftp and rsync, as clients use them."""

import hashlib
import os
import shlex
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import docker
import pytest

from agent.engine import tools
from agent.engine.docker_engine import DockerEngine
from agent.engine.tools import LABEL, container_name
from agent.protocol import DesiredTask, ObservedTask
from scripts.guest_tools import ensure_bundle
from tests import images
from tests.agent.fakes import changed
from tests.agent.host import Host

pytestmark = pytest.mark.engine
TERMINAL_SECONDS = 30
"""Far more than a login takes."""

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


@pytest.mark.parametrize("kind", ["debian", "nosshd", "alpine"])
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


@pytest.mark.parametrize("kind", ["shellonly", "brokensshd"])
def test_images_that_have_next_to_nothing_are_served_too(lending: Host, kind: str) -> None:
    wish = running(lending, lending.task(image=image_of(kind, lending, ""), env=ENVIRONMENT))
    assert lending.ssh(wish, "echo $VAST_CONTAINERLABEL $PLAIN").stdout == "C.1 value\n"
    assert lending.ssh(wish, "busybox ls /.spotyard/report").stdout == "host_keys\n"


def type_in(host: Host, wish: DesiredTask, text: str, shows: str, **environment: str) -> str:
    """What a terminal shows in which somebody logs in and types ``text``, until it shows ``shows`` or the session ends.
    Only then are the shell (``exit``) and the connection ended: tmux draws now and then, and nothing after its end."""
    program = ["ssh", "-tt", *host.ssh_options, "-p", str(wish.spec.ports[0].host_port), "root@127.0.0.1"]
    names = os.environ | {"TERM": "xterm-256color"} | environment
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=names) as terminal:
        timer = threading.Timer(TERMINAL_SECONDS, terminal.kill)
        timer.start()
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        terminal.stdin.write(text.encode())
        shown = b""
        while shows.encode() not in shown and (more := terminal.stdout.read(4096)):
            shown += more
        with suppress(BrokenPipeError):
            terminal.stdin.write(b"exit\n")
            terminal.stdin.close()
        terminal.stdout.read()
        timer.cancel()
    seen = shown.decode()
    assert shows in seen, seen
    return seen


INSIDE = "echo t-${TMUX:+mux}-${LOCPATH-clean}-$LINES_OF\n"


@pytest.mark.parametrize("kind", ["debian", "alpine"])
def test_a_terminal_is_in_tmux_unless_that_is_turned_off(lending: Host, kind: str, demo_image: str) -> None:
    host = lending
    environment = {"LINES_OF": "1\n2"}
    wish = running(host, host.task(image=image_of(kind, host, demo_image), env=environment))
    shown = type_in(host, wish, INSIDE, "t-mux-clean-1 2")
    assert "touch ~/.no_auto_tmux" in shown, "how to turn it off is said at login"
    assert "root@C.1:" in shown
    type_in(host, wish, INSIDE, "t--clean-1 2", TERM="screen-256color")  # not in another tmux
    type_in(host, wish, INSIDE, "t--clean-1 2", TERM="unheard-of")  # a plain shell where tmux does not work
    assert host.ssh(wish, "echo t-$TMUX; touch ~/.no_auto_tmux").stdout == "t-\n", "nor for a command"
    shown = type_in(host, wish, INSIDE, "t--clean-1 2")
    assert "root@C.1:" in shown


def test_what_runs_in_tmux_outlives_the_connection(lending: Host, demo_image: str) -> None:
    wish = running(lending, lending.task(image=demo_image))
    type_in(lending, wish, "MARK=kept-$((40+2))\ntmux detach\n", "[detached")
    type_in(lending, wish, 'echo "is $MARK"\n', "is kept-42")


def test_tmux_is_turned_off_by_a_variable_too(lending: Host) -> None:
    wish = running(lending, lending.task(kind="alpine", env={"NO_AUTO_TMUX": "1"}))
    type_in(lending, wish, INSIDE, "t--clean-")


def test_host_keys_are_told_and_stay(lending: Host) -> None:
    host = lending
    wish = running(host, host.task(kind="alpine"))
    told = await_told(host, lambda task: task.host_keys is not None).host_keys or []
    scanned = host.client("ssh-keyscan", "-p", str(wish.spec.ports[0].host_port), "127.0.0.1").stdout
    listed = host.client("ssh-keygen", "-lf", "-", text=scanned).stdout
    assert sorted(line.split()[1] for line in listed.splitlines()) == sorted(key.split()[1] for key in told)
    host.ssh(wish, "true")
    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    moved = changed(again, run_generation=3, gpu_uuids=["GPU-2"])
    host.market.desire(moved)
    host.market.await_phase(1, "running", 3)
    answer = host.ssh(moved, "command -v rsync")
    assert (answer.stdout, answer.stderr) == ("/.spotyard/tools/bin/rsync\n", "")
    assert await_told(host, lambda task: task.host_keys is not None).host_keys == told


def await_told(host: Host, true: Callable[[ObservedTask], bool]) -> ObservedTask:
    """Wait until the first task is told to be so."""

    def told() -> bool:
        task = host.market.observed(1)
        return task is not None and true(task)

    host.market.await_that(told)
    found = host.market.observed(1)
    assert found is not None
    return found


def test_keys_come_and_go_while_it_runs(lending: Host) -> None:
    host = lending
    wish = running(host, host.task(kind="nosshd", authorized_keys=[]))
    assert "Permission denied (publickey)" in host.ssh(wish, "true").stderr
    host.market.desire(changed(wish, authorized_keys=[host.public_key]))
    host.market.await_that(lambda: host.ssh(wish, "true").returncode == 0, seconds=10)
    host.market.desire(changed(wish, authorized_keys=[]))
    host.market.await_that(lambda: host.ssh(wish, "true").returncode == 255, seconds=10)


def test_a_failing_onstart_script_is_told_and_ends_nothing(lending: Host) -> None:
    host = lending
    script = "echo begun\nfor n in 1 2 3; do echo line $n; done\necho 'no \033such thing' >&2\nexit 3\n"
    wish = running(host, host.task(kind="alpine", onstart=script))
    told = await_told(host, lambda task: task.onstart_exit_code is not None)
    assert told.onstart_exit_code == 3
    assert told.onstart_output.splitlines()[-2:] == ["line 3", "no  such thing"] or "such thing" in told.onstart_output
    assert host.ssh(wish, "echo lives").stdout == "lives\n"
    host.ssh(wish, "echo 'exit 0' >/root/onstart.sh")
    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    assert await_told(host, lambda task: task.onstart_exit_code is not None).onstart_exit_code == 0


def test_a_script_that_fails_late_is_told_then(lending: Host) -> None:
    host = lending
    script = "while [ ! -e /tmp/go ]; do sleep 0.05; done\nexit 9\n"
    wish = running(host, host.task(kind="nosshd", onstart=script))
    assert await_told(host, lambda task: task.host_keys is not None).onstart_exit_code is None
    host.ssh(wish, "touch /tmp/go")
    assert await_told(host, lambda task: task.onstart_exit_code is not None).onstart_exit_code == 9


@pytest.mark.parametrize("point", ["tools_fetched", "tools_kept", "tools_staged", "tools_published", "created"])
def test_killed_while_it_gets_the_tools(lending: Host, bundle: bytes, point: str) -> None:
    host = lending
    fresh = own_bundle(bundle, f"{point} {host.state}")
    host.market.lend(fresh)
    wish = host.task(kind="nosshd")
    host.market.desire(wish)
    host.start(kill_at=point)
    host.await_death()
    try:
        running(host, wish)
        assert host.ssh(wish, "command -v rsync").stdout == "/.spotyard/tools/bin/rsync\n"
    finally:
        remove_volumes(host, fresh)


def own_bundle(bundle: bytes, text: str) -> bytes:
    """The same tools under another digest: gzip has room for a comment that means nothing."""
    assert bundle[:4] == b"\x1f\x8b\x08\x00"
    return bundle[:3] + b"\x10" + bundle[4:10] + text.encode() + b"\0" + bundle[10:]


def tools_of(host: Host, content: bytes) -> list[str]:
    """Volumes with the tools of this bundle."""
    label = f"{LABEL}={hashlib.sha256(content).hexdigest()}"
    return [str(volume.name) for volume in host.engine.volumes.list(filters={"label": label})]


def is_published(host: Host, content: bytes) -> bool:
    """Whether the volume with this bundle is complete: only then does a container have the name."""
    name = container_name(hashlib.sha256(content).hexdigest())
    return any(one.name == name for one in host.engine.containers.list(all=True, filters={"name": name}))


def remove_volumes(host: Host, content: bytes) -> None:
    """What this test has left of a bundle of its own."""
    host.kill()
    label = f"{LABEL}={hashlib.sha256(content).hexdigest()}"
    for container in host._containers():
        container.remove(force=True, v=True)
    for container in host.engine.containers.list(all=True, filters={"label": label}):
        container.remove(force=True)
    for name in tools_of(host, content):
        host.engine.volumes.get(name).remove()


def test_old_tools_go_once_nobody_has_them(host: Host, bundle: bytes) -> None:
    old, new = own_bundle(bundle, f"old {host.state}"), own_bundle(bundle, f"new {host.state}")
    try:
        host.market.lend(old)
        wish = running(host, host.task(kind="nosshd"))
        (volume,) = tools_of(host, old)
        host.market.lend(new)
        host.market.await_that(lambda: is_published(host, new))
        assert host.ssh(wish, "command -v rsync").returncode == 0
        assert tools_of(host, old) == [volume], "a container has them"
        host.market.desire(changed(wish, state="removed"))
        host.market.await_phase(1, "removed")
        host.end()
        host.market.lend(bundle)
        host.start()
        host.market.await_that(lambda: tools_of(host, old) == [] == tools_of(host, new))
    finally:
        remove_volumes(host, old)
        remove_volumes(host, new)


class LateClient(docker.APIClient):
    """Lists a container and a volume with tools that another agent has removed since."""

    def containers(self, *_: object, **__: object) -> list[dict[str, object]]:
        mounts = [{"Name": "spotyard-no-such-volume"}]
        return [{"Id": "gone", "Names": ["/gone"], "Labels": {LABEL: "0" * 64}, "Created": 0, "Mounts": mounts}]

    def volumes(self, *_: object, **__: object) -> dict[str, list[dict[str, str]]]:
        return {"Volumes": [{"Name": "spotyard-no-such-orphan", "CreatedAt": "2026-01-01T00:00:00Z"}]}


def test_tools_that_another_agent_drops_at_the_same_time_are_dropped() -> None:
    tools.drop(LateClient(), keep="1" * 64)


def test_tools_are_no_part_of_a_disk(lending: Host) -> None:
    host = lending
    wish = running(host, host.task(kind="nosshd", disk_gb=8))
    engine = DockerEngine()
    container_id = str(host.container().id)
    assert engine.volumes(container_id) == {}
    assert engine.disk_used_mb(container_id) < 5
    host.market.desire(changed(wish, state="removed"))
    host.market.await_phase(1, "removed")
    assert host.engine.volumes.list(filters={"label": LABEL})


def test_a_command_of_its_own_runs_at_each_start(host: Host) -> None:
    """With entrypoint and arguments, after an end of its own and after a stop; its output and exit code are kept."""
    script = 'echo "run $1 $GREETING" >>/runs; cat /runs; [ "$(wc -l </runs)" -ge 2 ] || exit 5; exec sleep 1000'
    arguments = [script, "name", "with spaces"]
    wish = host.task(kind="nosshd", mode="args", ports=[], entrypoint="/bin/sh -c", args=arguments)
    host.start()
    host.market.desire(wish)
    ended = host.market.await_phase(1, "exited", 1)
    assert (ended.exit_code, ended.message) == (5, "The instance's main process ended with exit code 5.")
    assert host.container().logs().decode() == "run with spaces hello\n"
    for run in (2, 3):
        host.market.desire(changed(wish, run_generation=run))
        host.market.await_phase(1, "running", run)
        host.market.desire(changed(wish, run_generation=run, state="stopped", stop_grace_seconds=0))
        host.market.await_phase(1, "stopped", run)
    _, facts = host.container().get_archive("/runs")
    assert facts is not None
    assert facts["size"] == 3 * len("run with spaces hello\n")
