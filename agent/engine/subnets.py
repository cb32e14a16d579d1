"""Which addresses a guest's own network gets: small ones, out of a range that the host itself does not use."""

import hashlib
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

RANGES = tuple(map(IPv4Network, ("10.213.0.0/16", "10.86.0.0/16", "172.30.0.0/16", "192.168.192.0/18")))
"""Any of them will do; which, depends on the networks that the host is in."""
PREFIX = 29
"""The bridge's address, the guest's, and some to spare: 8192 guests in a range."""
MOST_TRIES = 64
_UP = 0x0001


def host_networks(routes: str, own_prefix: str) -> list[IPv4Network]:
    """The networks in /proc/net/route, without the default route and those behind bridges of our own."""
    found = []
    for line in routes.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 8 or columns[0].startswith(own_prefix) or not int(columns[3], 16) & _UP:
            continue
        network, mask = _address(columns[1]), _address(columns[7])
        if int(mask):
            found.append(IPv4Network(f"{network}/{mask}", strict=False))
    return found


def free_range(taken: Sequence[IPv4Network]) -> IPv4Network:
    """The first range that overlaps no network of the host's; the first of all where every one does."""
    return next((each for each in RANGES if not any(each.overlaps(one) for one in taken)), RANGES[0])


def candidates(name: str, within: IPv4Network) -> Iterator[IPv4Network]:
    """Subnets to try for a network of this name, the same ones every time, MOST_TRIES at most."""
    count = 1 << (PREFIX - within.prefixlen)
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for number in range(min(MOST_TRIES, count)):
        start = int(within.network_address) + ((first + number) % count << (32 - PREFIX))
        yield IPv4Network((start, PREFIX))


def _address(text: str) -> IPv4Address:
    """As the kernel writes it there: in hex, the last byte first."""
    return IPv4Address(bytes.fromhex(text)[::-1])
