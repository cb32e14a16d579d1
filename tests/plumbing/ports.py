"""Ports for the servers and agents of a test run, which share one engine with whatever else runs on this machine.

A block belongs to one process at a time (tests/plumbing/claims.py), so two containers are never given one port.
"""

from scripts.services.launching import port_is_free
from tests.plumbing.claims import claim

FIRST_PORT = 22_000
"""Above the demo's, and the last below those that the kernel hands out by itself."""
PORTS_PER_BLOCK = 50
BLOCKS = 200


def claim_ports(count: int = PORTS_PER_BLOCK) -> str:
    """A range of ``count`` ports, like ``22000-22049``, that nothing uses and no other test gets from now on."""
    assert 0 < count <= PORTS_PER_BLOCK
    first = claim_block()
    return f"{first}-{first + count - 1}"


def claim_block() -> int:
    """The first of ``PORTS_PER_BLOCK`` such ports. Raises AssertionError when all blocks are taken."""
    for block in range(BLOCKS):
        if _claim(block):
            return FIRST_PORT + PORTS_PER_BLOCK * block
    raise AssertionError("all blocks of ports are taken")


def _claim(block: int) -> bool:
    """Whether the block was free and is ours now. One that leftovers of a killed run listen on is passed over."""
    first = FIRST_PORT + PORTS_PER_BLOCK * block
    ports = range(first, first + PORTS_PER_BLOCK)
    return claim(f"ports-{first}") and all(port_is_free(port, "0.0.0.0") for port in ports)  # noqa: S104 - as the engine binds
