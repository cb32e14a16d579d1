"""A client's server that hears webhooks: real HTTP on this machine, answering as the test says."""

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass(frozen=True)
class Hit:
    """One request as it came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_with(self, secret: str) -> bool:
        """The check of the Standard Webhooks specification, written down a second time."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{right}" in self.headers["webhook-signature"].split(" ")


class Receiver:
    """``hits`` is what came; ``statuses`` are answered in turn, then 200; ``answer`` replaces all answering."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.hits: list[Hit] = []
        self.statuses: list[int] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.test_is_over = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=1"

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        """Note the request and answer it."""
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.hits.append(Hit(handler.path, {k.lower(): v for k, v in handler.headers.items()}, body))
        if self.answer is not None:
            self.answer(handler)
            return
        handler.send_response(self.statuses.pop(0) if self.statuses else 200)
        handler.send_header("location", "/elsewhere")
        handler.send_header("content-length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of 127.0.0.1, over TLS if asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.respond(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Senders that hang up are what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(server.server_address[1])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.test_is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()
