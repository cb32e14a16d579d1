"""Ports for the servers and agents of a test run, which share one engine with whatever else runs on this machine.

A block belongs to one process at a time: it holds a lock on the block's file, which the kernel takes back however the
process ends. So tests of one run, of parallel workers and of other checkouts never give two containers one port.
"""

import fcntl
import os
import tempfile
from pathlib import Path

from scripts.services.launching import port_is_free

FIRST_PORT = 22_000
"""Above the demo's, and the last below those that the kernel hands out by itself."""
PORTS_PER_BLOCK = 50
BLOCKS = 200

_held: dict[int, int] = {}
"""File descriptors with the locks of this process's blocks, by number; never closed."""


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
    if block in _held or not all(port_is_free(port, "0.0.0.0") for port in range(first, first + PORTS_PER_BLOCK)):  # noqa: S104 - as the engine binds
        return False
    folder = Path(tempfile.gettempdir()) / f"spotyard-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / str(block), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held[block] = descriptor
    return True
