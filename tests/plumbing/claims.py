"""What one process of a test run has for itself as long as it lives: a block of ports, a network.

A claim is a lock on a file of the claim's name, which the kernel takes back however the process ends. So runs side by
side, parallel workers and other checkouts never share one, and nothing stays taken after a run that was killed.
"""

import fcntl
import os
import tempfile
from pathlib import Path

_held: dict[str, int] = {}
"""File descriptors of this process's locks, by claim; never closed."""


def claim(name: str) -> bool:
    """Whether nobody had ``name``, this process included, and it is this process's now."""
    if name in _held:
        return False
    folder = Path(tempfile.gettempdir()) / f"spotyard-test-claims-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held[name] = descriptor
    return True
