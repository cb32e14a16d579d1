"""The ways to reach an instance, as commands to copy. Pasted into shells, so every address is quoted."""

import shlex
from dataclasses import dataclass

from hosting.connecting import RelayAddress, is_only_direct, relay_address, relay_addresses, relay_now
from marketplace.domain.rent import SSH_PORT
from marketplace.models import Instance

RELAY_MEANS = "Works from everywhere, whatever stands before the machine. This address never changes."
DIRECT_MEANS = "Straight to the machine, so copies may be faster. The address changes if the host's does."


@dataclass(frozen=True)
class Way:
    """One address of the instance's SSH server; ``means`` tells a beginner what it is good for."""

    name: str
    means: str
    host: str
    port: int

    @property
    def ssh_command(self) -> str:
        return f"ssh -p {self.port} {shlex.quote(f'root@{self.host}')} -L 8080:localhost:8080"

    @property
    def scp_up_command(self) -> str:
        return f"scp -P {self.port} LOCAL_FILE {self._target('/root/')}"

    @property
    def scp_down_command(self) -> str:
        return f"scp -P {self.port} {self._target('/root/REMOTE_FILE')} ."

    @property
    def rsync_command(self) -> str:
        return f"rsync -avP -e 'ssh -p {self.port}' LOCAL_FOLDER {self._target('/root/')}"

    def _target(self, path: str) -> str:
        """Addresses with colons, of IPv6, have brackets here."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{shlex.quote(f'root@{host}')}:{path}" if ":" not in host else shlex.quote(f"root@{host}:{path}")


def ways(instance: Instance) -> list[Way]:
    """Those that work, the one to recommend first; none without SSH."""
    machine = instance.machine
    if instance.ssh_port is None:
        return []
    direct = Way("Direct", DIRECT_MEANS, machine.public_address, instance.ssh_port)
    relay = None if is_only_direct(machine) else relay_address(machine, instance.task, SSH_PORT)
    if relay is None:
        return [direct]
    relayed = Way("Through the relay", RELAY_MEANS, relay.host, relay.port)
    return [relayed, direct] if machine.is_direct else [relayed]


@dataclass(frozen=True)
class PublishedPort:
    """A port of the container that the client asked for. Empty addresses are those that it does not have."""

    name: str
    """"8080/tcp"."""
    direct: str
    relay: str
    tunnel: str
    """The option of ssh that brings it to the client's own computer."""


def published_ports(instance: Instance) -> list[PublishedPort]:
    """Each published port with where it is reached, by container port."""
    machine, task = instance.machine, instance.task
    shown = {one.container_port: one for one in relay_addresses(machine, task)}
    is_direct = machine.is_direct or is_only_direct(machine)
    leases = [lease for lease in task.port_leases.all() if lease.released_at is None]
    found = []
    for lease in sorted(leases, key=lambda one: (one.container_port, one.protocol)):
        address = shown.get(lease.container_port) if lease.protocol == "tcp" else None
        is_tunnelled = lease.protocol == "tcp" and lease.container_port != SSH_PORT and instance.ssh_port is not None
        found.append(
            PublishedPort(
                name=f"{lease.container_port}/{lease.protocol}",
                direct=f"{machine.public_address}:{lease.host_port}" if is_direct else "",
                relay=_told(address) if address else "",
                tunnel=f"-L {lease.container_port}:localhost:{lease.container_port}" if is_tunnelled else "",
            )
        )
    return found


def _told(address: RelayAddress) -> str:
    if address.kind != "https":
        return f"{address.host}:{address.port}"
    relay = relay_now()
    scheme = "https" if relay is not None and relay.has_tls else "http"
    return f"{scheme}://{address.host}:{address.port}"
