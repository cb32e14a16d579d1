"""Copies on the real engine, with the real rsync, ssh and curl: from another container, from URLs and to URLs."""

import ctypes
import hashlib
import itertools
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.job_protocol import DesiredJob, JobReport
from agent.protocol import DesiredTask
from marketplace.domain.copies import key_line
from marketplace.gateways.ssh_keys import new_key_pair
from scripts.guest_tools import ensure_bundle
from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.agent.job_life import job

pytestmark = pytest.mark.engine

_numbers = itertools.count(1000)
SIZE = 48 << 20
ADDRESS, PORT = "127.0.0.1", 8765
CLONE_NEWNET = 0x40000000
PATH = "/root/it's data/"


@pytest.fixture
def lending(host: Host) -> Host:
    host.market.lend(ensure_bundle().read_bytes())
    host.start()
    return host


def begin(host: Host, task: DesiredTask) -> DesiredTask:
    host.market.desire(task)
    host.market.await_phase(task.task_id, "running", task.run_generation)
    return task


def asked(host: Host, kind: str, task_id: int, arguments: dict[str, Any]) -> DesiredJob:
    wanted = job(next(_numbers), kind=kind, task_id=task_id, arguments=arguments, seconds_left=120.0)
    host.market.ask(wanted)
    return wanted


def end_of(host: Host, wanted: DesiredJob) -> JobReport:
    return host.market.end_of(wanted.job_id)


def await_progress(host: Host, wanted: DesiredJob) -> None:
    """It has begun to bring something, or is over."""
    host.market.await_that(
        lambda: any(
            one.job_id == wanted.job_id and ((one.progress or 0) > 0.01 or one.state != "running")
            for one in host.market.reports
        )
    )


def test_files_come_from_another_container_and_an_agent_that_was_killed_goes_on(lending: Host) -> None:
    host = lending
    private, public = new_key_pair()
    source = host.task(1)
    source = begin(host, changed(source, authorized_keys=[host.public_key, key_line(public, PATH, 1)]))
    target = begin(host, host.task(2))
    begun = f'mkdir -p "{PATH}sub"; cd "{PATH}"; echo hi >sub/x; head -c 200M /dev/urandom >big; md5sum big'
    made = host.ssh(source, begun)
    port = source.spec.ports[0].host_port
    arguments = {
        "addresses": [("127.0.0.1", port)],
        "private_key": private,
        "host_keys": [],
        "source_path": PATH,
        "target_path": "/srv/new/",
    }
    wanted = asked(host, "copy", 2, arguments)
    await_progress(host, wanted)
    host.kill()
    host.start()
    assert end_of(host, wanted).state == "done"
    assert host.ssh(target, "cd /srv/new; md5sum big; cat sub/x").stdout.split() == [*made.stdout.split(), "hi"]

    told = end_of(host, asked(host, "copy", 2, arguments | {"host_keys": ["ssh-ed25519 SHA256:other"]}))
    assert (told.state, told.reason) == ("failed", "wrong_host_key")
    assert not list(host.state.rglob("*.work"))
    assert "PRIVATE" not in host.output


class Store:
    """A web server that can be slow of understanding: ``cuts`` says after how many bytes the next answers break off."""

    def __init__(self, pid: int) -> None:
        self.content = os.urandom(SIZE)
        self.cuts: list[int] = []
        self.ranges: list[str] = []
        self.signatures: list[str] = []
        self.received: dict[str, bytes] = {}
        self.has_ranges = True
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.give(self)

            def do_PUT(self) -> None:
                store.signatures.append(self.headers.get("Authorization", ""))
                store.received[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((ADDRESS, PORT), Handler, bind_and_activate=False)
        self.server.socket.close()
        self.server.socket = socket_within(pid)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def give(self, request: BaseHTTPRequestHandler) -> None:
        asked_for = request.headers.get("Range", "")
        self.ranges.append(asked_for)
        self.signatures.append(request.headers.get("Authorization", ""))
        first = int(asked_for.removeprefix("bytes=").removesuffix("-") or 0) if self.has_ranges else 0
        if "missing" in request.path:
            request.send_error(404)
            return
        request.send_response(206 if first else 200)
        request.send_header("Content-Length", str(SIZE - first))
        if first:
            request.send_header("Content-Range", f"bytes {first}-{SIZE - 1}/{SIZE}")
        request.end_headers()
        rest = self.content[first:]
        request.wfile.write(rest[: self.cuts.pop(0)] if self.cuts else rest)
        request.close_connection = True


def socket_within(pid: int) -> socket.socket:
    """A listening socket in the network of a container, which can reach nothing else of this machine."""
    made: list[socket.socket] = []

    def make() -> None:
        with Path(f"/proc/{pid}/ns/net").open() as network:
            assert ctypes.CDLL(None).setns(network.fileno(), CLONE_NEWNET) == 0  # for this thread alone
        listener = socket.socket()
        listener.bind((ADDRESS, PORT))
        listener.listen()
        made.append(listener)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


@pytest.fixture
def task(lending: Host) -> DesiredTask:
    return begin(lending, lending.task(1))


@pytest.fixture
def store(lending: Host, task: DesiredTask) -> Iterator[Store]:
    container = lending.container()
    container.reload()
    made = Store(container.attrs["State"]["Pid"])
    assert task.task_id == 1
    yield made
    made.server.shutdown()
    made.server.server_close()


def url(path: str) -> str:
    return f"http://{ADDRESS}:{PORT}{path}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_files_come_from_and_go_to_urls(lending: Host, task: DesiredTask, store: Store) -> None:
    host = lending

    def copied(**arguments: Any) -> JobReport:
        known = {
            "direction": "download",
            "path": "/srv/data/",
            "name": "file",
            "url": url("/a%20b?x=%20&y"),
        }
        return end_of(host, asked(host, "url", 1, known | arguments))

    store.cuts = [SIZE // 3, SIZE // 4]
    assert copied(path="/srv/new/one.bin").state == "done"
    assert store.ranges[0] == ""
    assert store.ranges[1:] == [f"bytes={SIZE // 3}-", f"bytes={SIZE // 3 + SIZE // 4}-"]
    assert host.ssh(task, "ls /srv/new; sha256sum /srv/new/one.bin").stdout.split()[:2] == [
        "one.bin",
        sha256(store.content),
    ]

    store.has_ranges = False
    store.cuts = [SIZE // 3]
    assert copied(path="/srv/new").state == "done"
    assert host.ssh(task, "sha256sum /srv/new/file").stdout.split()[0] == sha256(store.content)

    told = copied(url=url("/missing"))
    assert (told.reason, told.message) == ("http_404", "There is nothing at this address.")
    told = copied(direction="upload", path="/srv/nothing")
    assert told.reason == "no_such_path"

    keys = {"region": "eu-1", "access_key": "AKIA", "secret_key": 'a"b\\c'}
    assert copied(direction="upload", path="/srv/new/one.bin", url=url("/bucket/key"), **keys).state == "done"
    assert store.received["/bucket/key"] == store.content
    assert store.signatures[-1].startswith("AWS4-HMAC-SHA256 Credential=AKIA/")
    assert "eu-1/s3/aws4_request" in store.signatures[-1]
    host.kill()
    assert "AKIA" not in host.output


def test_a_download_that_nobody_wants_any_more_ends(lending: Host, task: DesiredTask, store: Store) -> None:
    host = lending
    store.cuts = [1000] * 50
    arguments = {"direction": "download", "path": "/srv/x", "name": "x", "url": url("/x")}
    wanted = asked(host, "url", 1, arguments)
    host.market.await_that(lambda: bool(store.ranges))
    with host.market.condition:
        assert host.market.jobs is not None
        host.market.jobs.pop(wanted.job_id)
        host.market.generation += 1
        host.market.condition.notify_all()
    host.market.await_that(lambda: "curl" not in host.ssh(task, "ps").stdout)
