"""Whether what an agent says of a container's traffic can be."""

from datetime import datetime, timedelta

SLOWEST_LINE_MBPS = 1_000.0
"""Megabits per second that any machine is believed to reach, at least to its neighbours."""
HEADROOM = 2
"""Speeds are measured now and then, and lines carry more at times."""

_BITS_PER_BYTE = 8


def most_bytes(line_mbps: float, since: datetime, until: datetime) -> int:
    """The most that a line of ``line_mbps`` megabits per second can have carried from ``since`` to ``until``."""
    microseconds = max(0, (until - since) // timedelta(microseconds=1))
    # Megabits per second are bits per microsecond.
    return int(max(line_mbps, SLOWEST_LINE_MBPS)) * HEADROOM * microseconds // _BITS_PER_BYTE
