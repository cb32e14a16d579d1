"""The relay in this process, machines that log in to it with the real ssh, and servers for what comes through."""

import asyncio
import queue
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from hosting.domain.relay import user_name
from hosting.models import Machine
from hosting.relay import process
from hosting.services.relay_leases import relay_key_learn
from scripts.services.launching import wait_until

PATIENCE_SECONDS = 20.0


@contextmanager
def running_relay() -> Iterator[None]:
    """The relay as ``settings`` say, until the block ends."""
    started: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        ending = asyncio.Event()
        started.put((asyncio.get_running_loop(), ending))
        await process.serve(ending)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="relay")
    thread.start()
    loop, ending = started.get()
    await_that(lambda: is_open(settings.RELAY_PORT), "the relay to listen")
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def await_that(condition: Callable[[], bool], what: str) -> None:
    """Poll until it is true; fails after some time."""
    wait_until(condition, timeout_seconds=PATIENCE_SECONDS, failure=lambda: f"Waited in vain for {what}.")


def is_open(port: int) -> bool:
    """Whether somebody listens on the port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def echo_server(greeting: bytes = b"") -> Iterator[int]:
    """A server that says the greeting and then repeats what it hears; its port."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting)
            while data := self.request.recv(65536):
                self.request.sendall(data)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that vanish are no news."""

    with Server(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def connect(port: int) -> socket.socket:
    """A client's connection to a public port."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    connection.settimeout(PATIENCE_SECONDS)
    return connection


def echoes(connection: socket.socket, text: bytes = b"hello") -> bool:
    """Whether what is sent comes back; False when the connection has ended."""
    try:
        connection.sendall(text)
        heard = b""
        while len(heard) < len(text) and (part := connection.recv(65536)):
            heard += part
    except OSError:
        return False
    return heard == text


class Login:
    """A machine's ssh, as its agent would run it. ``folder`` is its own, with a short path."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        folder.mkdir()
        self.folder = folder
        self.machine = machine
        self.user = user_name(machine.pk)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], cwd=folder, check=True)
        self.public_key = (folder / "key.pub").read_text()
        self._master: subprocess.Popen[bytes] | None = None

    def enrol(self, machine: Machine) -> None:
        """The marketplace knows the key as this machine's."""
        relay_key_learn(machine=machine, told=self.public_key, now=timezone.now())

    def command(self, *arguments: str, user: str = "") -> list[str]:
        """ssh with what every use of it has in common."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"]
        flags = [part for option in (*options, "LogLevel=ERROR", "ConnectTimeout=10") for part in ("-o", option)]
        target = [f"{user or self.user}@127.0.0.1"]
        return ["ssh", "-F", "none", *flags, "-i", "key", "-p", str(settings.RELAY_PORT), *arguments, *target]

    def run(self, *arguments: str, after: tuple[str, ...] = (), user: str = "") -> subprocess.CompletedProcess[str]:
        """One use of ssh to its end."""
        command = [*self.command(*arguments, user=user), *after]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )

    def connect(self) -> "Login":
        """Log in and stay."""
        self._master = subprocess.Popen(self.command("-N", "-M", "-S", "ctl"), cwd=self.folder)
        await_that((self.folder / "ctl").exists, "ssh to log in")
        return self

    def forward(self, relay_port: int, host_port: int) -> bool:
        """Ask for a port; whether it was given."""
        done = self.run("-S", "ctl", "-O", "forward", "-R", f"*:{relay_port}:127.0.0.1:{host_port}")
        return done.returncode == 0

    def cancel(self, relay_port: int, host_port: int) -> None:
        """Give a port back."""
        self.run("-S", "ctl", "-O", "cancel", "-R", f"*:{relay_port}:127.0.0.1:{host_port}")

    @property
    def is_in(self) -> bool:
        """Whether its ssh still runs."""
        return self._master is not None and self._master.poll() is None

    def freeze(self) -> None:
        """Answer nothing any more, as a machine whose line was cut."""
        assert self._master is not None
        self._master.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        if self._master is not None:
            self._master.kill()
            self._master.wait()
