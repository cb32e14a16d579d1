"""Whether machines' ports can be reached from outside: how often and where we look, and what follows."""

from datetime import timedelta
from ipaddress import ip_address

from hosting.domain.addresses import is_public

SAMPLE = 3
"""How many ports of a machine are looked at."""
EVERY = timedelta(days=1)
AGAIN_AFTER = timedelta(hours=1)
"""Sooner, where not all could be reached: the host may be at it."""
TRY_FOR = timedelta(seconds=40)
"""How long the agent has to open the ports before they count as unreachable."""


def may_connect(address: str, *, dialled_from: str, allow_private: bool) -> bool:
    """Whether we connect to this IP address because a machine says that it is its own.

    To the open internet, and to where the agent itself comes from; to our own machine and networks only if that is
    allowed, since hosts choose what they say.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if allow_private or is_public(ip):
        return True
    special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified
    return address == dialled_from and not special


def reachable_ports(size: int, *, sampled: int, reached: int) -> int:
    """How many of ``size`` ports can be reached, if they are like the sample; none is known without one."""
    return size * reached // sampled if sampled else 0
