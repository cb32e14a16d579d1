"""Settings of the relay, through which clients reach instances on machines behind NAT (hosting/relay/)."""

from pathlib import Path

from hosting.domain.addresses import is_address
from hosting.domain.relay import PortRange, parse_port_range
from marketplace.environment import DEMO, env, read

__all__ = [
    "PORT_CHECKS_ALLOW_PRIVATE",
    "RELAY_BIND",
    "RELAY_HOST",
    "RELAY_HOST_KEY_FILE",
    "RELAY_PORT",
    "RELAY_PORTS",
    "RELAY_TLS_CERT_FILE",
    "RELAY_TLS_KEY_FILE",
]


def _is_port(value: int) -> bool:
    return 1 <= value <= 65535


RELAY_HOST = read("RELAY_HOST", env.str, "", check=lambda v: not v or is_address(v), wants="a host name or an address")
"""The name under which clients and agents reach the relay; empty: there is none, and machines are reached directly."""
RELAY_PORT = read("RELAY_PORT", env.int, 2222, check=_is_port, wants="a port")
"""Where agents log in."""
RELAY_PORTS: PortRange = parse_port_range(
    read("RELAY_PORTS", env.str, "10000-31999", check=parse_port_range, wants="a range like 10000-31999")
) or PortRange(10000, 31999)
"""The public ports that it gives to instances, in pairs. They should lie outside of what the kernel hands out by itself
(/proc/sys/net/ipv4/ip_local_port_range)."""
RELAY_BIND = read("RELAY_BIND", env.str, "", check=lambda v: not v or is_address(v), wants="an address of this machine")
"""The address that the relay listens on; empty: on all."""
RELAY_HOST_KEY_FILE = Path(
    read("RELAY_HOST_KEY_FILE", env.str, str(Path(__file__).parents[1] / "var" / "relay" / "host_key"))
)
"""The relay's own key, made at its first start. Losing it costs nothing: the agents are told the new one."""
RELAY_TLS_CERT_FILE = read("RELAY_TLS_CERT_FILE", env.str, "")
"""Certificate (with its chain) for the https ports, in PEM. Without one they carry plain HTTP."""
RELAY_TLS_KEY_FILE = read("RELAY_TLS_KEY_FILE", env.str, "")

PORT_CHECKS_ALLOW_PRIVATE = read("PORT_CHECKS_ALLOW_PRIVATE", env.bool, DEMO)
"""Whether we look for machines' ports on this machine and on private networks too. Never where strangers are hosts."""
