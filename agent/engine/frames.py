"""What a program in a container writes, as the engine sends it: frames that say which stream their content is of."""

import contextlib
from collections.abc import Iterator
from typing import Any

STANDARD_OUTPUT = 1
_HEADER_BYTES = 8


def frames(stream: Any) -> Iterator[tuple[int, bytes]]:
    """Number of the stream, and content, until the engine ends or the connection is closed.

    ``stream`` is what docker-py gives for ``socket=True``. What came in one piece with the head of the engine's answer
    lies in the buffer that the head was read through; reading from the bare socket would miss it.
    """
    reader = stream._response.raw._fp.fp
    with contextlib.suppress(OSError, ValueError):
        while len(header := reader.read(_HEADER_BYTES)) == _HEADER_BYTES:
            yield header[0], reader.read(int.from_bytes(header[4:], "big"))
