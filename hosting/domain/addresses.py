"""Addresses: those that clients copy into their shells, and those that belong to the open internet."""

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address, ip_network

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")

_NEVER_IPV4 = [
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
]
_PUBLIC_IPV6 = ip_network("2000::/3")
# Inside it: protocol assignments with Teredo, documentation, and 6to4, which carries an IPv4 address.
_NEVER_IPV6 = [ip_network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


def is_address(text: str) -> bool:
    """Whether the text is an IP address or a host name, and so can't be anything else to a shell or to ssh."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= 253 and _HOSTNAME.fullmatch(text) is not None
    return "%" not in text  # an IPv6 scope may be any text


def network_of(text: str) -> str:
    """Whose limits an address counts to: IPv4 addresses one by one, IPv6 by /64, of which anybody has all addresses.

    Text that is no address stands for itself.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address belongs to the open internet: not to this machine, a private network or a special use.

    Of IPv6 only global unicast counts, so addresses that wrap an IPv4 address in any way are refused.
    """
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NEVER_IPV4)
    return address in _PUBLIC_IPV6 and not any(address in block for block in _NEVER_IPV6)
