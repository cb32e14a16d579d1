"""The engine's answers to commands, however they are cut into packets."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from docker.api.client import APIClient

from agent.engine.commands import run
from agent.engine.types import Command

HEAD = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
SAID = b"\1\0\0\0\0\0\0\6hello\n"


class Daemon(BaseHTTPRequestHandler):
    """As much of an engine as one command takes; what it says comes in one packet with the answer's head."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/start"):
            self.connection.sendall(HEAD + SAID)
            self.close_connection = True
        else:
            self._json(b'{"Id": "e1"}')

    def do_GET(self) -> None:
        self._json(b'{"ExitCode": 0, "Running": false, "Pid": 0}')

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _json(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def client() -> Iterator[APIClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Daemon)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield APIClient(base_url=f"tcp://127.0.0.1:{server.server_port}", version="1.41")
    server.shutdown()
    server.server_close()


def test_output_that_comes_with_the_head_of_the_answer_is_not_lost(client: APIClient) -> None:
    command = Command(text="echo hello", seconds=10, most_output_bytes=1000)
    outcome = run(client, "c1", command)
    assert (outcome.exit_code, outcome.output) == (0, b"hello\n")
