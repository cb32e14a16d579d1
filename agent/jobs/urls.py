"""Copies a file from a URL into a running container, or from there to a URL, at the host's speed.

curl runs in the container. It reads addresses and keys from its standard input, so nobody sees them in a list of
processes, and they are on no disk.
"""

import threading
from typing import Literal

import msgspec

from agent.backoff import Backoff
from agent.engine.types import Attached, ContainerFacts
from agent.freight.curl import Verdict, config, meter, verdict
from agent.jobs.kinds import JobContext, JobError, Outcome, arguments_of
from agent.jobs.workplace import Workplace, runs

_KEPT_TEXT_BYTES = 16 * 1024
_LOOK_SECONDS = 0.5
_END_OF_SETTINGS = b".\n"
_END_SECONDS = 10.0
_MOST_FRUITLESS_TRIES = 8
"""In a row, without a byte more of the file."""

# First come curl's settings, up to a line with a dot. What follows is a lifeline: when it ends, because the job is to
# end or the agent was killed, curl ends too, so that no two of them ever write one file.
_BEGIN = """
exec 3<&0
PATH=$PATH:/.spotyard/tools/applets
export PATH
curl=/.spotyard/tools/bin/curl
[ -x "$curl" ] || curl=$(command -v curl) || { echo "There is no curl." >&2; exit 127; }
settings=$(while IFS= read -r line && [ "$line" != . ]; do printf '%s\\n' "$line"; done)
fetch() {
    printf '%s\\n' "$settings" | "$curl" --config - "$@" 3<&- &
    job=$!
    (cat; kill "$job") <&3 >/dev/null 2>&1 &
    lifeline=$!
    wait "$job"
    code=$?
    kill "$lifeline" 2>/dev/null
    return "$code"
}
"""
# Under its own name a file is there only when it is complete.
_DOWN = (
    _BEGIN
    + """
[ -d "$1" ] && set -- "${1%/}/$2" "$2" "$3"
mkdir -p "${1%/*}/" || exit 23
part=$1.spotyard-part
[ "$3" = anew ] && rm -f "$part"
fetch --continue-at - --output "$part" || exit "$?"
mv -f "$part" "$1" || exit 23
"""
)
_UP = (
    _BEGIN
    + """
[ -f "$1" ] && [ -r "$1" ] || exit 26
fetch --upload-file "$1"
"""
)
_SETTINGS = [
    ("fail", ""),
    ("show-error", ""),
    ("location", ""),
    ("globoff", ""),
    ("proto", "=http,https"),
    ("proto-redir", "=http,https"),
    ("connect-timeout", "20"),
    ("speed-limit", "1"),
    ("speed-time", "60"),
]


class UrlOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the job's arguments say; those from ``url`` on are secret."""

    direction: Literal["download", "upload"]
    path: str
    name: str
    """What a file is called that goes into a folder."""
    url: str
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    """With these three the request is signed as an S3-compatible store wants it."""


class UrlCopy:
    """Repeatable: a download goes on where it ended, an upload replaces what it sent before."""

    repeatable = True
    lasting = True

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        order = arguments_of(context, UrlOrder)
        backoff, fruitless, how, furthest = Backoff(), 0, "go on", 0.0
        while True:
            one = _Try(self._workplace, context, order, how)
            seen = one.outcome(self._container(context))
            if seen.state == "done":
                return Outcome(result={}, message=seen.message)
            if seen.state == "failed":
                raise JobError(seen.reason, seen.message)
            how = "anew" if seen.state == "anew" and how != "anew" else "go on"
            fruitless = 0 if one.share > furthest else fruitless + 1
            furthest = max(furthest, one.share)
            if fruitless >= _MOST_FRUITLESS_TRIES:
                raise JobError("unreachable", f"The server can't be reached. {seen.message}".strip())
            context.tell(None, f"The connection broke; this is tried again. {seen.message}".strip())
            if context.stop.wait(backoff.next_seconds()) or context.must_end:
                raise JobError("given_up", "The copy did not come to its end in time.")

    def _container(self, context: JobContext) -> ContainerFacts:
        container = self._workplace.container(context)
        if container is None or not runs(container):
            raise JobError("stopped", "The instance does not run. Start it and copy again.")
        return container


def settings_of(order: UrlOrder) -> list[tuple[str, str]]:
    """What curl is told on its standard input."""
    found = [*_SETTINGS, ("url", order.url)]
    if order.access_key:
        found += [("aws-sigv4", f"aws:amz:{order.region}:s3"), ("user", f"{order.access_key}:{order.secret_key}")]
    return found


class _Try:
    """One run of curl."""

    def __init__(self, workplace: Workplace, context: JobContext, order: UrlOrder, how: str) -> None:
        self._workplace = workplace
        self._context = context
        self._order = order
        self._how = how
        self._told = bytearray()
        self._ended = threading.Event()
        self.share = 0.0

    def outcome(self, container: ContainerFacts) -> Verdict:
        """See it through, or end it when the job is to end."""
        is_upload = self._order.direction == "upload"
        words = ["copy", self._order.path] if is_upload else ["copy", self._order.path, self._order.name, self._how]
        command = ["/bin/sh", "-c", _UP if is_upload else _DOWN, *words]
        attached = self._workplace.engine.attach(container.container_id, command, {})
        threading.Thread(target=self._listen, args=(attached,), name="url-copy", daemon=True).start()
        try:
            attached.send(config(settings_of(self._order)) + _END_OF_SETTINGS)
            while not self._ended.wait(_LOOK_SECONDS) and not self._context.must_end:
                self._tell_progress(is_upload=is_upload)
        except OSError:
            self._ended.wait(_END_SECONDS)  # it ended before it read anything, and has said why
        finally:
            attached.end_input()
            code = attached.exit_code(_END_SECONDS)
            attached.close()
        return verdict(code, self._told.decode(errors="replace"))

    def _tell_progress(self, *, is_upload: bool) -> None:
        seen = meter(self._told.decode(errors="replace"), is_upload=is_upload)
        if seen is not None:
            self.share = seen.share
            self._context.tell(seen.share, str(seen))

    def _listen(self, attached: Attached) -> None:
        try:
            for _, content in attached.output():
                self._told += content
                if len(self._told) > _KEPT_TEXT_BYTES:
                    del self._told[:-_KEPT_TEXT_BYTES]
        finally:
            self._ended.set()
