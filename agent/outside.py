"""How the world reaches this machine's guests: through the relay, and on ports that the host's router lets through."""

import functools
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from agent.logs import say
from agent.port_checks import PortChecks
from agent.protocol import SyncReply
from agent.relay import ssh
from agent.relay.plan import early_ports
from agent.relay.tunnel import Tunnel

_log = logging.getLogger(__name__)


def relay_obstacle() -> str | None:
    """Why this machine can't use the relay; None where it can."""
    programs = ssh.missing()
    if not programs:
        return None
    return f"{' and '.join(programs)} not found, so clients can't reach guests behind this host's router"


class Outside:
    """``state_dir`` keeps the key for the relay; it is made when first asked for. ``started`` names the tasks whose
    containers are."""

    def __init__(self, state_dir: Path, started: Callable[[], Collection[int]] = tuple) -> None:
        self._home = state_dir / "relay"
        self._started = started
        self._ports: dict[int, list[int]] = {}
        self._tunnel = Tunnel(self._home, early=self._early)
        self._checks = PortChecks()

    @functools.cached_property
    def relay_key(self) -> str | None:
        """What the marketplace is to know this machine by at the relay; None where there is no way to it."""
        obstacle = relay_obstacle()
        if obstacle is not None:
            say(_log, "relay_impossible", level=logging.WARNING, why=obstacle, remedy=ssh.REMEDY)
            return None
        try:
            return ssh.RelaySsh(self._home).public_key()
        except (ssh.SshFailedError, OSError) as error:
            say(_log, "relay_impossible", level=logging.WARNING, why=error)
            return None

    def heed(self, reply: SyncReply) -> None:
        """Bring about what the marketplace wants; returns at once."""
        self._ports = {task.task_id: [port.host_port for port in task.spec.ports] for task in reply.tasks}
        if self.relay_key is not None:
            self._tunnel.want(reply.relay)
        taken = {port.host_port for task in reply.tasks for port in task.spec.ports if task.state != "removed"}
        self._checks.want([check for check in reply.port_checks if check.port not in taken])

    def look(self) -> None:
        """Tasks have changed."""
        self._tunnel.look()

    def stop(self) -> None:
        """End with the agent; the connection to the relay stays for those who use it."""
        self._tunnel.stop()
        self._checks.stop()

    def _early(self) -> set[int]:
        return early_ports(self._ports, self._started())
