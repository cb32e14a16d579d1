"""The process that is locked into a stopped container's disk and does one command there; ``session`` starts it."""

import os
import sys

import msgspec

from agent.disk import verbs
from agent.disk.confine import ConfinementError, Disk, die_with_parent, enter

NOT_MOUNTED = 125
"""Exit code where the disk can't be looked into on this host; the output says why."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the helper is told on its standard input."""

    disk: Disk
    command: str
    cpu_seconds: int


def main() -> int:
    """Exit code of the command."""
    die_with_parent()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    out = verbs.main_output()
    os.environ.clear()
    os.environ |= {"HOME": "/root", "TZ": "UTC0"}
    try:
        enter(order.disk, cpu_seconds=order.cpu_seconds)
    except (ConfinementError, OSError) as error:
        out.write(str(error).encode(errors="replace"))
        out.flush()
        return NOT_MOUNTED
    os.umask(0o022)
    code = verbs.run(order.command, out)
    out.flush()
    return code
