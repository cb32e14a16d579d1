"""Machines' logins. A machine's key opens nothing but listening on the relay's ports that its instances have."""

from dataclasses import dataclass, field

import asyncssh
import structlog

from hosting.connecting import Permit
from hosting.domain.relay import machine_of, normal_key
from hosting.relay.gate import Gate, UnavailableError
from hosting.relay.ports import PublicPorts, Route

logger = structlog.get_logger(__name__)

MOST_PER_MACHINE = 4
"""Logins of one machine. Older ones may carry sessions that go on, or be dead."""
MOST_STRANGERS = 256
"""Connections that have not logged in yet."""


@dataclass
class Tunnels:
    """All logins, the oldest first, and what they need."""

    gate: Gate
    ports: PublicPorts
    strangers: int = 0
    by_machine: dict[int, list["Tunnel"]] = field(default_factory=dict)

    def make(self) -> "Tunnel":
        """For one more connection."""
        return Tunnel(self)

    def add(self, machine_id: int, tunnel: "Tunnel") -> None:
        """A machine has logged in."""
        logins = self.by_machine.setdefault(machine_id, [])
        logins.append(tunnel)
        for surplus in logins[:-MOST_PER_MACHINE]:
            surplus.cut()

    def remove(self, machine_id: int, tunnel: "Tunnel") -> None:
        """A login is over."""
        logins = self.by_machine.get(machine_id, [])
        if tunnel in logins:
            logins.remove(tunnel)
        if not logins:
            self.by_machine.pop(machine_id, None)

    def enforce(self, permits: dict[int, Permit], asked_about: set[int], ports: dict[int, int]) -> None:
        """Cut the logins of machines that are gone or have another key, and close ports whose lease has ended.

        ``permits`` is about ``asked_about`` only, and about the open ``ports`` (and whose they are) of that moment:
        what came after it is left for the next look.
        """
        for machine_id in asked_about:
            permit = permits.get(machine_id)
            for tunnel in [one for one in self.by_machine.get(machine_id, []) if not _still_has(permit, one)]:
                logger.info("relay_machine_cut", machine_id=machine_id)
                tunnel.cut()
        for number, machine_id in ports.items():
            permit = permits.get(machine_id)
            if permit is None or number not in permit.ports:
                self.ports.close(number, cut=True)

    def cut_all(self) -> None:
        for logins in list(self.by_machine.values()):
            for tunnel in list(logins):
                tunnel.cut()


def _still_has(permit: Permit | None, tunnel: "Tunnel") -> bool:
    return permit is not None and permit.key == tunnel.key


class Tunnel(asyncssh.SSHServer):
    """One connection of a machine. Whatever else a server may be asked for, asyncssh refuses by default."""

    def __init__(self, tunnels: Tunnels) -> None:
        self._tunnels = tunnels
        self._connection: asyncssh.SSHServerConnection | None = None
        self._machine_id: int | None = None
        self._is_stranger = False
        self.key = ""
        """With which it logged in."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        if self._tunnels.strangers >= MOST_STRANGERS:
            conn.abort()
            return
        self._tunnels.strangers += 1
        self._is_stranger = True

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - who it is matters with the key
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is the key of the machine of this name, which is registered."""
        machine_id = machine_of(username)
        offered = normal_key(key.export_public_key("openssh").decode())
        if machine_id is None or offered is None:
            return False
        permit = await self._permit(machine_id)
        if permit is None or permit.key != offered:
            return False
        self._machine_id, self.key = machine_id, offered
        return True

    def auth_completed(self) -> None:
        self._no_stranger()
        if self._machine_id is not None and self._connection is not None:
            self._tunnels.add(self._machine_id, self)
            peer = self._connection.get_extra_info("peername")
            logger.info("relay_machine_connected", machine_id=self._machine_id, address=peer[0] if peer else "")

    async def server_requested(self, listen_host: str, listen_port: int) -> "Listening | bool":
        """A port is opened if it is leased to an instance of this machine."""
        machine_id, connection = self._machine_id, self._connection
        permit = None if machine_id is None else await self._permit(machine_id)
        if machine_id is None or connection is None or permit is None or listen_port not in permit.ports:
            logger.warning("relay_port_refused", machine_id=machine_id, port=listen_port)
            return False
        try:
            await self._tunnels.ports.open(
                listen_port, permit.ports[listen_port], Route(machine_id, connection, listen_host)
            )
        except OSError as error:
            logger.warning("relay_port_not_opened", machine_id=machine_id, port=listen_port, error=str(error))
            return False
        listening = Listening(self._tunnels.ports, listen_port, connection)
        if connection.is_closed():
            listening.close()
        return listening

    async def _permit(self, machine_id: int) -> Permit | None:
        try:
            return await self._tunnels.gate.permit(machine_id)
        except UnavailableError as error:
            logger.warning("relay_database_away", machine_id=machine_id, error=str(error))
            return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_stranger()
        if self._machine_id is not None and self in self._tunnels.by_machine.get(self._machine_id, []):
            self._tunnels.remove(self._machine_id, self)
            logger.info("relay_machine_gone", machine_id=self._machine_id, why=str(exc) if exc else "")

    def _no_stranger(self) -> None:
        if self._is_stranger:
            self._is_stranger = False
            self._tunnels.strangers -= 1

    def cut(self) -> None:
        """End the connection now."""
        if self._connection is not None:
            self._connection.abort()


class Listening(asyncssh.SSHListener):
    """What asyncssh closes when the machine cancels the forward or is gone."""

    def __init__(self, ports: PublicPorts, number: int, connection: asyncssh.SSHServerConnection) -> None:
        super().__init__()
        self._ports = ports
        self._number = number
        self._connection = connection

    def get_port(self) -> int:
        return self._number

    def close(self) -> None:
        self._ports.leave(self._number, self._connection)

    async def wait_closed(self) -> None:
        """It is at once."""
