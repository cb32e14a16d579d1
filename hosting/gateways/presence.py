"""Who is there: heartbeats in Redis, so that an agent with nothing to tell costs PostgreSQL nothing.

Redis may lose everything at any time. Then machines count as seen from the next sweep on, and every agent's next report
goes the long way through the database once.
"""

import functools
import json
from collections.abc import Iterable
from datetime import UTC, datetime

import redis
from django.conf import settings

SEEN = "agents:seen"
REPORT = "agents:report"
SWEEP = "agents:sweep"


@functools.cache
def client() -> "redis.Redis":
    """One connection pool a process, with short timeouts: a heartbeat must never hang a request."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def beat(machine_id: int, now: datetime) -> datetime | None:
    """Record that the agent spoke at ``now``; returns when it had spoken before, None if unknown."""
    pipe = client().pipeline()
    pipe.zscore(SEEN, str(machine_id))
    pipe.zadd(SEEN, {str(machine_id): now.timestamp()})
    before = pipe.execute()[0]
    return None if before is None else datetime.fromtimestamp(before, UTC)


def last_seen(machine_id: int) -> datetime | None:
    """When the agent last spoke, None if unknown."""
    score = client().zscore(SEEN, str(machine_id))
    return None if score is None else datetime.fromtimestamp(float(score), UTC)


def adopt(machine_ids: Iterable[int], now: datetime) -> None:
    """Count machines that Redis does not know as seen at ``now``."""
    mapping = {str(machine_id): now.timestamp() for machine_id in machine_ids}
    if mapping:
        client().zadd(SEEN, mapping, nx=True)


def silent_since(limit: datetime) -> list[tuple[int, datetime]]:
    """Machines last heard at or before ``limit``, with the moment."""
    rows: list[tuple[bytes, float]] = client().zrangebyscore(SEEN, "-inf", limit.timestamp(), withscores=True)  # type: ignore[assignment]  # sync client
    return [(int(name), datetime.fromtimestamp(score, UTC)) for name, score in rows]


def forget(machine_id: int) -> None:
    """Drop a machine: its next report goes through the database."""
    client().zrem(SEEN, str(machine_id))
    client().hdel(REPORT, str(machine_id))


def report_known(machine_id: int, session_id: str, seq: int, fingerprint: str) -> bool:
    """Whether this report tells nothing new: it is older than one already handled in its session, or equal to it."""
    known = client().hget(REPORT, str(machine_id))
    if known is None:
        return False
    try:
        known_session, known_seq, known_fingerprint = json.loads(known)
    except ValueError:
        return False  # written by another version
    if known_session != session_id:
        return False
    return bool(seq < known_seq or known_fingerprint == fingerprint)


_REMEMBER = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
    local ok, row = pcall(cjson.decode, known)
    if ok and row[1] == ARGV[2] and row[2] > tonumber(ARGV[3]) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 1
"""
"""In one step, for reports of one machine may end in another order than they began."""


def report_handled(machine_id: int, session_id: str, seq: int, fingerprint: str) -> None:
    """Remember a report once its facts are in the database, unless a newer one of its session is remembered."""
    row = json.dumps([session_id, seq, fingerprint])
    client().eval(_REMEMBER, 1, REPORT, str(machine_id), session_id, str(seq), row)


def sweep_beat(now: datetime, keep_seconds: int) -> bool:
    """Record that the sweeper ran; returns whether it had run within the last ``keep_seconds``."""
    return client().set(SWEEP, now.timestamp(), ex=keep_seconds, get=True) is not None
