"""Logs that somebody looks at: the last part of each stream, in Redis, which may lose all of it at any time.

A stream is the output of one job. Its bytes are counted from its beginning, of which only the end is kept.
"""

from dataclasses import dataclass

from hosting.gateways.presence import client

MOST_BYTES = 512 * 1024
"""Kept of a stream; trimmed to this when it is twice as long."""
STREAM_SECONDS = 120
"""A stream that nothing is added to is forgotten after this; its agent adds nothing, but does so, every few seconds."""
WATCH_SECONDS = 12
"""How long a look at a log counts; pages look every second."""


@dataclass(frozen=True)
class Piece:
    """What a stream has from byte ``start`` on. ``end`` is where the next piece begins."""

    start: int
    content: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.content)


def _stream(job_id: int) -> str:
    return f"logs:stream:{job_id}"


def _watch(task_id: int) -> str:
    return f"logs:watch:{task_id}"


_APPEND = """
local first = tonumber(redis.call('HGET', KEYS[1], 'first') or ARGV[1])
local data = redis.call('HGET', KEYS[1], 'data') or ''
local stop, start = first + #data, tonumber(ARGV[1])
if start > stop then first, data, stop = start, '', start end
local news = string.sub(ARGV[2], stop - start + 1)
data = data .. news
local most = tonumber(ARGV[3])
if #data > 2 * most then
    first = first + #data - most
    data = string.sub(data, -most)
end
redis.call('HSET', KEYS[1], 'first', first, 'data', data)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return first + #data
"""
"""In one step, for a repeated request may come beside its first try. After a gap (Redis was emptied) it begins anew."""


def append(job_id: int, start: int, content: bytes) -> int:
    """Add bytes that belong at ``start``; how far the stream goes now. What is there already is not added again."""
    answer = client().eval(_APPEND, 1, _stream(job_id), str(start), content, str(MOST_BYTES), str(STREAM_SECONDS))
    return int(str(answer))


def read(job_id: int, after: int) -> Piece | None:
    """What the stream has after byte ``after``, or from where it is kept; None where it is not known."""
    first, data = client().hmget(_stream(job_id), ["first", "data"])
    if first is None:
        return None
    kept = int(first)
    content = data if isinstance(data, bytes) else b""
    if not kept <= after <= kept + len(content):
        return Piece(kept, content)
    return Piece(after, content[after - kept :])


def watch(task_id: int) -> None:
    """Somebody looks at the task's log now."""
    client().set(_watch(task_id), "1", ex=WATCH_SECONDS)


def is_watched(task_id: int) -> bool:
    """Whether somebody looked lately."""
    return bool(client().exists(_watch(task_id)))
