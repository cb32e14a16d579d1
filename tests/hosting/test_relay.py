"""The relay with the real ssh as machines, and sockets as clients."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django.fixtures import Settings

from hosting.domain.relay import PortRange
from hosting.models import Machine, Relay, RelayLease, Task
from hosting.relay import gate, ports, process
from tests.plumbing import market
from tests.plumbing.market import T0
from tests.plumbing.ports import claim_block
from tests.plumbing.relay import Login, await_that, connect, echo_server, echoes, is_open, running_relay

pytestmark = pytest.mark.django_db(transaction=True)


class Scene:
    """A relay, its settings, and machines that may listen on the ports leased to them."""

    def __init__(self, settings: Settings, folder: Path, block: int) -> None:
        self.settings = settings
        self.folder = folder
        self.block = block
        self._logins: list[Login] = []
        self._next = block + 10

    def machine(self) -> Login:
        """A machine with a login of its own, not logged in yet."""
        login = Login(self.folder / f"m{len(self._logins)}", machine := market.register(market.user()))
        login.enrol(machine)
        self._logins.append(login)
        return login

    def again(self, login: Login) -> Login:
        """Another ssh of the same machine, with the same key."""
        other = Login(self.folder / f"m{len(self._logins)}", login.machine)
        for name in ("key", "key.pub"):
            (other.folder / name).write_bytes((login.folder / name).read_bytes())
        self._logins.append(other)
        return other

    def lease(self, login: Login, kind: str = "tcp") -> int:
        """A port for an instance of the machine."""
        task = Task.objects.create(
            machine=login.machine, kind="instance", label="C.1", spec={}, observed_since=T0, created_at=T0
        )
        self._next += 1
        RelayLease.objects.create(task=task, relay_port=self._next, container_port=22, kind=kind, created_at=T0)
        return self._next

    def close(self) -> None:
        for login in self._logins:
            login.end()


@pytest.fixture
def settings_of_relay(settings: Settings, tmp_path: Path) -> int:
    block = claim_block()
    settings.RELAY_HOST, settings.RELAY_PORT, settings.RELAY_BIND = "127.0.0.1", block, "127.0.0.1"
    settings.RELAY_PORTS = PortRange(block + 10, block + 49)
    settings.RELAY_HOST_KEY_FILE = tmp_path / "host_key"
    return block


@pytest.fixture
def scene(settings: Settings, settings_of_relay: int, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        running = stack.enter_context(closing(Scene(settings, tmp_path, settings_of_relay)))
        stack.enter_context(running_relay())
        yield running


@pytest.fixture
def echo() -> Iterator[int]:
    with echo_server() as port:
        yield port


def test_a_client_reaches_what_the_machine_forwards(scene: Scene, echo: int) -> None:
    machine = scene.machine()
    port = scene.lease(machine)
    assert not is_open(port)
    assert machine.connect().forward(port, echo)
    big = bytes(range(256)) * 20_000
    with connect(port) as client:
        assert echoes(client)
        sender = threading.Thread(target=client.sendall, args=(big,))
        sender.start()
        heard = b""
        while len(heard) < len(big):
            heard += client.recv(65536)
        sender.join()
        assert heard == big
    await_that(lambda: Relay.objects.filter(machines=1, ports=1, bytes_in__gt=len(big)).exists(), "its figures")
    machine.cancel(port, echo)
    await_that(lambda: not is_open(port), "the port to close")
    assert machine.is_in


def test_what_half_closes_gets_its_answer(scene: Scene, echo: int) -> None:
    machine = scene.machine()
    port = scene.lease(machine)
    machine.connect().forward(port, echo)
    with connect(port) as client:
        client.sendall(b"last words")
        client.shutdown(1)
        assert client.recv(100) == b"last words"
        assert client.recv(100) == b""


def test_a_machine_gets_the_ports_of_its_own_instances_and_no_others(scene: Scene, echo: int) -> None:
    first, second = scene.machine(), scene.machine()
    own, foreign = scene.lease(first), scene.lease(second)
    first.connect()
    assert not first.forward(foreign, echo)
    assert not first.forward(own + 20, echo)
    assert not first.forward(0, echo)
    assert first.forward(own, echo)
    assert not is_open(foreign)
    RelayLease.objects.filter(relay_port=own).update(released_at=T0)
    assert not second.connect().forward(own, echo)


def test_only_the_machines_own_key_opens(scene: Scene) -> None:
    first, second = scene.machine(), scene.machine()
    stranger = Login(scene.folder / "stranger", first.machine)
    for login, user in ((second, first.user), (stranger, first.user), (first, "root"), (first, "machine-999999")):
        refused = login.run("-N", user=user)
        assert refused.returncode == 255
        assert "Permission denied (publickey)" in refused.stderr


def test_there_is_nothing_but_listening(scene: Scene, echo: int) -> None:
    machine = scene.machine()
    machine.connect()
    for more, after in (((), ("id",)), (("-tt",), ()), (("-s",), ("sftp",)), (("-W", f"127.0.0.1:{echo}"), ())):
        refused = machine.run(*more, after=after)
        assert refused.returncode != 0
        assert refused.stdout == ""
    local = scene.block + 5
    machine.run("-S", "ctl", "-O", "forward", "-L", f"{local}:127.0.0.1:{echo}")
    machine.run("-S", "ctl", "-O", "forward", "-D", str(local + 1))
    with connect(local) as client:
        assert not echoes(client)
    with connect(local + 1) as client:
        client.sendall(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + echo.to_bytes(2, "big"))
        assert not echoes(client)
    unix = machine.run("-S", "ctl", "-O", "forward", "-R", f"/tmp/none:127.0.0.1:{echo}")
    assert unix.returncode != 0


def test_the_newest_login_has_the_port_and_older_sessions_go_on(scene: Scene) -> None:
    machine = scene.machine()
    port = scene.lease(machine)
    newer = scene.again(machine)
    with echo_server(b"old") as old, echo_server(b"new") as new:
        machine.connect().forward(port, old)
        with connect(port) as session:
            assert session.recv(3) == b"old"
            assert newer.connect().forward(port, new)
            assert echoes(session)
            with connect(port) as other:
                assert other.recv(3) == b"new"
        machine.freeze()
        with connect(port) as other:
            assert other.recv(3) == b"new"
        machine.end()
        await_that(lambda: Relay.objects.get().machines == 1, "the relay to see the end")
        with connect(port) as other:
            assert other.recv(3) == b"new"
    newer.end()
    await_that(lambda: not is_open(port), "the port to close")


def test_the_end_of_a_lease_and_of_a_machine_end_what_is_open(scene: Scene, echo: int) -> None:
    machine = scene.machine()
    ends, stays = scene.lease(machine), scene.lease(machine)
    machine.connect()
    assert machine.forward(ends, echo)
    assert machine.forward(stays, echo)
    with connect(ends) as ended, connect(stays) as staying:
        assert echoes(ended)
        assert echoes(staying)
        RelayLease.objects.filter(relay_port=ends).update(released_at=timezone.now())
        await_that(lambda: not is_open(ends), "the port to close")
        assert not echoes(ended)
        assert echoes(staying)
        Machine.objects.filter(pk=machine.machine.pk).update(removed_at=timezone.now())
        await_that(lambda: not machine.is_in, "the login to be cut")
        assert not echoes(staying)
    assert not is_open(stays)


def test_without_the_database_sessions_go_on_and_nothing_new_opens(
    scene: Scene, echo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = scene.machine()
    port, other = scene.lease(machine), scene.lease(machine)
    machine.connect().forward(port, echo)

    looks = 0

    def away(_: object) -> None:
        nonlocal looks
        looks += 1
        raise OperationalError("the database is away")

    with connect(port) as client, monkeypatch.context() as patch:
        patch.setattr(gate, "permits", away)
        await_that(lambda: looks > 1, "the relay to look in vain")
        assert not machine.forward(other, echo)
        assert echoes(client)
        with connect(port) as second:
            assert echoes(second)
    assert machine.forward(other, echo)
    with connect(other) as client:
        assert echoes(client)


def test_no_more_connections_than_a_port_may_have(scene: Scene, echo: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "MOST_PER_PORT", 2)
    machine = scene.machine()
    port = scene.lease(machine)
    machine.connect().forward(port, echo)
    with connect(port) as first, connect(port) as second:
        assert echoes(first)
        assert echoes(second)
        with connect(port) as third:
            assert not echoes(third)
    await_that(lambda: Relay.objects.filter(connections_refused=1, connections=0).exists(), "its figures")
    with connect(port) as fourth:
        assert echoes(fourth)


def test_https_ports_end_tls_at_the_relay(
    settings: Settings, settings_of_relay: int, tmp_path: Path, echo: int
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=relay", "-addext", "subjectAltName=DNS:relay.test"]
    subprocess.run([*make, *names, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    settings.RELAY_TLS_CERT_FILE, settings.RELAY_TLS_KEY_FILE = str(certificate), str(key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with closing(Scene(settings, tmp_path, settings_of_relay)) as scene, running_relay():
        machine = scene.machine()
        secure, plain = scene.lease(machine, "https"), scene.lease(machine)
        machine.connect()
        assert machine.forward(secure, echo)
        assert machine.forward(plain, echo)
        with trusting.wrap_socket(connect(secure), server_hostname="relay.test") as client:
            assert echoes(client)
            assert echoes(client, bytes(300_000))
        with connect(plain) as client:
            assert echoes(client)
        with connect(secure) as client:
            assert not echoes(client)
        await_that(lambda: Relay.objects.filter(has_tls=True).exists(), "the relay to say so")


def test_the_relays_key_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "host_key"
    made = process.host_key(file)
    assert process.host_key(file) == made
    assert file.stat().st_mode & 0o777 == 0o600
