"""The sandbox behind a real HTTP server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from billing.sandbox.app import Config, Sandbox


class QuietHandler(WSGIRequestHandler):
    """Answers without a line in the log for each request; drops the connection when the application says so."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def server_of(sandbox: Sandbox, port: int) -> BaseWSGIServer:
    """A server on 127.0.0.1, a thread for each request; port 0 takes a free one."""
    return make_server("127.0.0.1", port, sandbox.wsgi, threaded=True, request_handler=QuietHandler)


@contextmanager
def serving(state: Path | str, config: Config | None = None) -> Iterator[tuple[str, Sandbox]]:
    """The sandbox in threads of this process, and its address."""
    sandbox = Sandbox(state, config or Config())
    server = server_of(sandbox, 0)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    sandbox.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sandbox
    finally:
        sandbox.faults.clear()
        server.shutdown()
        server.server_close()
        thread.join()
        sandbox.close()
