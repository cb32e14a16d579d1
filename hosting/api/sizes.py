"""How much the agents' endpoints take in, by path: what asks before a body is read knows nothing else of a request."""

from agent.job_protocol import MOST_OUTPUT_CHUNK_BYTES
from agent.protocol import MOST_KEPT_LOG_BYTES, MOST_RESULT_BYTES, SYNC_PATH
from agent.telemetry_protocol import TELEMETRY_PATH
from hosting.domain.benchmarks import MOST_SPEED_BYTES

MOST_MESSAGE_BYTES = 256 * 1024 + 2 * MOST_RESULT_BYTES
"""A report on a thousand containers is smaller, with the results of two."""
MOST_OPEN_BYTES = 256 * 1024
"""Of who need not show any credential: a machine's inventory is a tenth of it."""
_ZLIB_SLACK_BYTES = 1024
"""What does not compress grows a little."""
MOST_LOG_BYTES = MOST_KEPT_LOG_BYTES + _ZLIB_SLACK_BYTES

_JOBS = "/api/agent/v1/jobs/"
_TASKS = "/api/agent/v1/tasks/"
_SPEED = "/api/agent/v1/speed/"


def most_body_bytes(path: str) -> int:
    """The longest body that anything at this path takes."""
    if path in (SYNC_PATH, TELEMETRY_PATH):
        return MOST_MESSAGE_BYTES
    for start, most_bytes in ((_JOBS, MOST_OUTPUT_CHUNK_BYTES), (_TASKS, MOST_LOG_BYTES), (_SPEED, MOST_SPEED_BYTES)):
        if path.startswith(start):
            return most_bytes
    return MOST_OPEN_BYTES


def is_filler(path: str) -> bool:
    """Whether nobody looks at the body: what counts is that it came."""
    return path.startswith(_SPEED)
