"""Where a parcel is handed out: a web server with a certificate and a token of its own, for as long as it is needed."""

import contextlib
import hashlib
import hmac
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agent.freight.parcel import part_file
from agent.jobs.kinds import JobError

_CERTIFICATE_SECONDS = 60
_PORT_PATIENCE_SECONDS = 30.0
_IDLE_SECONDS = 120
_CHUNK_BYTES = 1 << 18
_PATH = re.compile(r"/(\d{1,4})")
_RANGE = re.compile(r"bytes=(\d{1,18})-")


@contextmanager
def handing_out(folder: Path, port: int, token: str, gave: Callable[[int], None]) -> Iterator[str]:
    """Hand the parts in ``folder`` to who has the token, at ``port``; the certificate's SHA-256, in hex.

    ``gave`` is told how many bytes have gone out more. Raises ``JobError``.
    """
    context, fingerprint = _certificate(folder)
    server = _bound(port, _handler(folder, token, gave))
    server.daemon_threads = True
    # Whoever never finishes the handshake holds up a thread of its own, not the door.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="parcels", daemon=True).start()
    try:
        yield fingerprint
    finally:
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    if shutil.which("openssl") is None:
        raise JobError("no_openssl", "The source's host has no openssl program, which sending a disk needs.")
    key, certificate = folder / "tls.key", folder / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "30", "-subj", "/CN=spotyard"]
    subprocess.run(command, check=True, capture_output=True, timeout=_CERTIFICATE_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context, fingerprint_of(ssl.PEM_cert_to_DER_cert(certificate.read_text()))


def fingerprint_of(der: bytes) -> str:
    """SHA-256 of a certificate, in hex."""
    return hashlib.sha256(der).hexdigest()


def _bound(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """The engine may take a moment to let go of the port."""
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    while True:
        try:
            return ThreadingHTTPServer(("0.0.0.0", port), handler)  # noqa: S104 - as the engine publishes this port
        except OSError as error:
            if time.monotonic() > deadline:
                raise JobError("port_taken", f"Port {port} on the source's host is in use.") from error
            time.sleep(0.5)


def _handler(folder: Path, token: str, gave: Callable[[int], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE_SECONDS

        def do_GET(self) -> None:
            shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
            path = _PATH.fullmatch(self.path)
            file = part_file(folder, int(path[1])) if path else None
            if not hmac.compare_digest(shown.encode(), token.encode()) or file is None or not file.is_file():
                self.send_error(404)
                return
            asked = _RANGE.fullmatch(self.headers.get("Range", ""))
            self._give(file, int(asked[1]) if asked else 0)

        def _give(self, file: Path, first: int) -> None:
            size = file.stat().st_size
            if first > size:
                self.send_error(416)
                return
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(size - first))
            self.end_headers()
            with file.open("rb") as content:
                content.seek(first)
                while chunk := content.read(_CHUNK_BYTES):
                    self.wfile.write(chunk)
                    gave(len(chunk))

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler
