"""How fast the machine's line is to an endpoint of the marketplace."""

import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dlperf.workload.timing import LEAST_SAMPLES, PICO, Measured

STREAMS = 4
"""Connections at once: one alone is held back by distance."""
ROUND_SECONDS = 2.0
MOST_BYTES = 32_000_000
"""A connection's part of one round, at most."""
TIMEOUT_SECONDS = 20
CHUNK_BYTES = 65_536
BITS = 8


@dataclass(frozen=True)
class Endpoint:
    """``GET url?bytes=N`` answers N bytes, ``POST url`` takes any body."""

    url: str

    def __post_init__(self) -> None:
        """Raises ValueError unless it is an address on the web."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("The endpoint must be an http or https address.")

    def download(self, size: int) -> None:
        """Fetch so many bytes. Raises OSError if fewer come."""
        separator = "&" if urllib.parse.urlsplit(self.url).query else "?"
        with urllib.request.urlopen(f"{self.url}{separator}bytes={size}", timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the scheme is checked above
            received = 0
            while chunk := answer.read(CHUNK_BYTES):
                received += len(chunk)
        if received != size:
            raise OSError(f"The endpoint sent {received} bytes instead of {size}.")

    def upload(self, size: int) -> None:
        """Send so many bytes. Raises OSError if the endpoint refuses them."""
        request = urllib.request.Request(self.url, data=bytes(size), method="POST")  # noqa: S310  # as above
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # as above
            answer.read()


def line_rate(transfer: Callable[[int], None], size: int, clock: Callable[[], float] = time.perf_counter) -> Measured:
    """Bits a second over ``STREAMS`` connections. Raises OSError.

    A first round of ``size`` bytes each warms up and tells how many bytes a round takes that lasts a while.
    """
    with ThreadPoolExecutor(STREAMS) as pool:

        def bytes_per_s(each: int) -> float:
            begun = clock()
            list(pool.map(transfer, [each] * STREAMS))
            return STREAMS * each / max(clock() - begun, PICO)

        lasting = round(bytes_per_s(size) * ROUND_SECONDS / STREAMS)
        each = min(max(lasting, size), MOST_BYTES)
        return Measured(tuple(BITS * bytes_per_s(each) for _ in range(LEAST_SAMPLES)))
