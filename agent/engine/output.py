"""What a container wrote to its standard output and error, read back from the engine's log."""

from typing import cast

import msgspec
from docker.api.client import APIClient

from agent.engine.types import LogStream, LogTail

_ENTRY_BYTES = 16 * 1024
"""The engine's log keeps longer lines in pieces of this size."""
_OTHER_ENTRIES = 1000
"""So much may have been written to standard error after the line."""
_MOST_ENTRIES = 100_000
_SLACK_BYTES = 64
"""For the ends of lines."""


def last_line(client: APIClient, container_id: str, most_bytes: int) -> str:
    """See ``agent.engine.types.Engine``. However much was written, little more than ``most_bytes`` is held."""
    entries = most_bytes // _ENTRY_BYTES + _OTHER_ENTRIES
    kept = bytearray()
    was_cut = False
    for chunk in client.logs(container_id, stdout=True, stderr=False, stream=True, tail=entries):
        kept += chunk
        excess = len(kept) - most_bytes - _SLACK_BYTES
        if excess > 0:
            del kept[:excess]
            was_cut = True
    _, newline, line = kept.rstrip().rpartition(b"\n")
    if was_cut and not newline:
        return ""  # its beginning is lost
    text = line.decode(errors="replace")
    return text if len(msgspec.json.encode(text)) <= most_bytes else ""


def tail(client: APIClient, container_id: str, most_bytes: int) -> LogTail:
    """See ``Engine.log_tail``."""
    kept = bytearray()
    was_cut = False
    lines = client.logs(container_id, stdout=True, stderr=True, stream=True, follow=False, tail=_MOST_ENTRIES)
    for chunk in lines:
        kept += chunk
        if len(kept) > 2 * most_bytes:
            del kept[:-most_bytes]
            was_cut = True
    if len(kept) > most_bytes:
        del kept[:-most_bytes]
        was_cut = True
    return LogTail(content=bytes(kept), was_cut=was_cut)


def follow(client: APIClient, container_id: str, tail_lines: int) -> LogStream:
    """See ``Engine.follow_log``."""
    return cast(
        "LogStream", client.logs(container_id, stdout=True, stderr=True, stream=True, follow=True, tail=tail_lines)
    )
