"""The benchmark program as a host's machine has it: its own folder, torch, and an endpoint for the line."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_SECONDS = 240


def ship(folder: Path) -> Path:
    """Copy what the program needs, and nothing else, into the folder."""
    for part in ("workload", "challenge"):
        shutil.copytree(ROOT / "dlperf" / part, folder / "dlperf" / part, ignore=_no_bytecode)
    for name in ("__init__.py", "cuda.py"):
        shutil.copy(ROOT / "dlperf" / name, folder / "dlperf" / name)
    return folder


_no_bytecode = shutil.ignore_patterns("__pycache__")


def run_program(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run it in its folder, with nothing of the project in reach."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def require_torch() -> None:
    """torch missing fails the test under CI and skips it elsewhere."""
    if importlib.util.find_spec("torch") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("torch is not installed; run make test, which installs it")
        pytest.skip("torch is not installed; run make test, which installs it")


class Handler(BaseHTTPRequestHandler):
    """Answers as an endpoint for the line's speed; one that is ``stingy`` sends a byte less."""

    stingy = False

    def do_GET(self) -> None:
        """So many bytes as are asked for."""
        size = int(parse_qs(urlsplit(self.path).query)["bytes"][0]) - self.stingy
        self._answer(200, bytes(size))

    def do_POST(self) -> None:
        """Anything at all."""
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def speed_endpoint(*, stingy: bool = False) -> Iterator[str]:
    """The address of an endpoint on this machine."""
    handler = type("SpeedHandler", (Handler,), {"stingy": stingy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/speed?key=1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
