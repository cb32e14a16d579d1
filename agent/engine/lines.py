"""How fast a guest may send and receive, enforced by the kernel.

What comes to a guest leaves through the bridge of its own network, and what it sends leaves through its own interface,
which it has no capability to change: a token bucket sits on both.
"""

import shutil
import subprocess
from dataclasses import dataclass

_TIMEOUT_SECONDS = 10
_LATENCY = "50ms"
_BURST_SECONDS = 0.01
_LEAST_BURST_BYTES = 64 * 1024
_BITS = 8
_KBIT = 1000
GUEST_INTERFACE = "eth0"


@dataclass(frozen=True)
class Line:
    """Kilobits a second each way, as seen by the guest; 0 is without limit."""

    down_kbit: int = 0
    up_kbit: int = 0

    def spelled(self) -> str:
        """As it is noted on a container."""
        return f"{self.down_kbit}/{self.up_kbit}"


NO_LIMIT = Line()


def line_of(text: str) -> Line:
    """What ``spelled`` wrote; without limits where it is something else."""
    down, _, up = text.partition("/")
    return Line(int(down), int(up)) if down.isdigit() and up.isdigit() else NO_LIMIT


def limit_received(bridge: str, line: Line) -> str | None:
    """Limit what goes to the guest behind this bridge; what went wrong, None where nothing did."""
    return _shape([], bridge, line.down_kbit) if line.down_kbit else None


def limit_sent(pid: int, line: Line) -> str | None:
    """The same for what the guest with this process sends."""
    return _shape(["nsenter", f"--net=/proc/{pid}/ns/net"], GUEST_INTERFACE, line.up_kbit) if line.up_kbit else None


def bucket(kbit: int) -> list[str]:
    """The token bucket, as tc takes it: a burst that lasts a hundredth of a second, or what one large packet needs."""
    burst = max(_LEAST_BURST_BYTES, int(kbit * _KBIT / _BITS * _BURST_SECONDS))
    return ["tbf", "rate", f"{kbit}kbit", "burst", str(burst), "latency", _LATENCY]


def _shape(prefix: list[str], device: str, kbit: int) -> str | None:
    if shutil.which("tc") is None:
        return "tc is not installed (apt-get install iproute2)"
    command = [*prefix, "tc", "qdisc", "replace", "dev", device, "root", *bucket(kbit)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"tc could not be run: {error}"
    return f"tc refused: {done.stderr.strip()}" if done.returncode else None
