"""Reading a container's log: once, or for as long as somebody looks."""

import threading
import time

from agent.engine.types import LogStream
from agent.job_protocol import MOST_OUTPUT_CHUNK_BYTES
from agent.jobs.kinds import JobContext, JobError, Outcome
from agent.jobs.workplace import Workplace
from agent.server import RefusedError, ServerAwayError

FOLLOWED_LINES = 1000
_GATHER_SECONDS = 0.2
_QUIET_SECONDS = 3.0
"""While nothing is written the server is asked this often whether somebody still looks."""
_AWAY_SECONDS = 15.0
_RETRY_SECONDS = 0.5


class ReadLog:
    """The end of the log, as the job's output."""

    repeatable = True
    lasting = False

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        container = self._workplace.container(context)
        if container is None:
            return Outcome(result={"present": False, "cut": False})
        tail = self._workplace.engine.log_tail(container.container_id, context.job.most_output_bytes)
        context.write(tail.content)
        return Outcome(result={"present": True, "cut": tail.was_cut})


class FollowLog:
    """What is written now, sent on as it comes, until nobody looks any more or the container's run ends."""

    repeatable = False
    lasting = True

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        container = self._workplace.container(context)
        if container is None:
            _Sender(context).send(b"")
            return Outcome(result={"present": False})
        stream = self._workplace.engine.follow_log(container.container_id, FOLLOWED_LINES)
        pump = _Pump(stream)
        try:
            _send_on(pump, _Sender(context), context)
        finally:
            pump.close()
        return Outcome(result={"present": True})


class _Pump:
    """Takes what comes out of a stream on a thread of its own. What comes faster than it is sent on is left out."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._left_out = 0
        self.news = threading.Event()
        self.ended = threading.Event()
        threading.Thread(target=self._read, name="log-stream", daemon=True).start()

    def take(self) -> bytes:
        """What has come since the last time."""
        with self._lock:
            self.news.clear()
            content, left_out = bytes(self._kept), self._left_out
            self._kept.clear()
            self._left_out = 0
        return f"\n[{left_out} bytes left out]\n".encode() + content if left_out else content

    def close(self) -> None:
        self._stream.close()

    def _read(self) -> None:
        try:
            for chunk in self._stream:
                self._keep(chunk)
        except Exception as error:  # a stream that is closed from elsewhere may end in any way
            self._keep(b"" if self.ended.is_set() else f"\n[the log's end: {type(error).__name__}]\n".encode())
        self.ended.set()
        self.news.set()

    def _keep(self, chunk: bytes) -> None:
        with self._lock:
            self._kept += chunk
            excess = len(self._kept) - MOST_OUTPUT_CHUNK_BYTES // 2
            if excess > 0:
                del self._kept[:excess]
                self._left_out += excess
        self.news.set()


class _Sender:
    """Counts what was sent; a request whose answer was lost is sent again."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._sent = 0

    def send(self, content: bytes) -> bool:
        """Whether more is wanted. Raises ``JobError`` where the server stays away."""
        give_up_at = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                reply = self._context.courier.send(self._context.job.job_id, self._sent, content)
            except RefusedError:
                return False
            except ServerAwayError as error:
                if time.monotonic() > give_up_at or self._context.stop.wait(_RETRY_SECONDS):
                    raise JobError("server_away", "The marketplace could not be reached.") from error
            else:
                self._sent += len(content)
                return reply.wanted


def _send_on(pump: _Pump, sender: _Sender, context: JobContext) -> None:
    """The first part goes at once, even where it is empty: the page is then told that there is nothing yet."""
    pump.news.wait(_GATHER_SECONDS)
    while not context.must_end:
        over = pump.ended.is_set()
        if not sender.send(pump.take()) or over:
            return
        if pump.news.wait(_QUIET_SECONDS):
            # What follows shortly goes along.
            context.stop.wait(_GATHER_SECONDS)
