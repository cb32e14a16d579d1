"""What the agent gives a container for Jupyter, and how it learns what has become of it.

``jupyter.sh`` in the container does the work and writes down where it is; that Jupyter answers is asked over HTTP, as a
browser would.
"""

import http.client
from collections.abc import Mapping

from agent.printable import printable
from agent.protocol import JUPYTER_PORT, ContainerSpec, JupyterReport, JupyterSpec

REPORT_FILE = "jupyter"
SETTINGS_FILE = "jupyter"
_MOST_MESSAGE_CHARS = 2000
_ANSWER_SECONDS = 1.5


def settings_text(spec: JupyterSpec) -> str:
    """The file that ``jupyter.sh`` reads: the program, and the directory on a line of its own."""
    return f"{'lab' if spec.lab else 'notebook'}\n{spec.directory}\n"


def parse(files: Mapping[str, bytes]) -> JupyterReport:
    """What the script last wrote down; the client is root in there, so it may be anything at all."""
    first, _, rest = files.get(REPORT_FILE, b"").partition(b"\n")
    message = "\n".join(printable(line) for line in rest.decode(errors="replace").splitlines())
    message = message[:_MOST_MESSAGE_CHARS].strip()
    if first == b"installing":
        return JupyterReport(state="installing", message=message)
    if first == b"failed":
        return JupyterReport(state="failed", message=message)
    return JupyterReport(state="starting")


def endpoint(spec: ContainerSpec, container_address: str) -> tuple[str, int]:
    """Where the container's Jupyter is reached from this machine."""
    published = (
        port.host_port for port in spec.ports if port.container_port == JUPYTER_PORT and port.protocol == "tcp"
    )
    host_port = next(published, None)
    return ("127.0.0.1", host_port) if host_port is not None else (container_address, JUPYTER_PORT)


def jupyter_answers(address: str, port: int) -> bool:
    """True once a server at the port says its version, which Jupyter tells everybody."""
    connection = http.client.HTTPConnection(address, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/api", headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
