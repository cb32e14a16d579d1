"""Copies files from an instance on any machine into a running container of this one.

rsync runs in the container and talks to the agent, which holds the SSH connection to the other instance: the container
needs no way there, and never sees the key that opens it. A try that breaks off is followed by another, which goes on
where it ended.
"""

import shutil
import subprocess
import threading
from pathlib import Path

import msgspec

from agent.backoff import Backoff
from agent.engine.types import Attached, ContainerFacts
from agent.freight.rsync import Verdict, progress, verdict
from agent.freight.tunnel import Door, WrongHostKeyError
from agent.jobs.kinds import JobContext, JobError, Outcome, arguments_of
from agent.jobs.workplace import Workplace, runs

_CHUNK_BYTES = 1 << 16
_KEPT_TEXT_BYTES = 16 * 1024
_LONGEST_COMMAND_BYTES = 4096
_LOOK_SECONDS = 0.5
_END_SECONDS = 20.0
_CODE_SECONDS = 5.0
_MOST_REFUSALS = 20
"""Logins that may be refused before the copy is given up: the source may not know the key yet."""
_TRIES_PER_ADDRESS = 2

# The outer shell keeps the way to the agent as 3 and 4. What rsync takes for its remote shell tells the agent which
# command it wants there, and then only passes on what both sides say. With dd: there are cats that hold things
# back. It ends with what comes from the agent, which rsync waits for.
_PIPE = (
    """/bin/sh -c 'shift; echo "$*" >&4; box=/.spotyard/tools/bin/busybox; [ -x $box ] || box=; """
    """exec 5<&0; $box dd bs=65536 <&5 >&4 3<&- 2>/dev/null & exec $box dd bs=65536 <&3 4>&- 5<&- 2>/dev/null' pipe"""
)
_SCRIPT = """
exec 3<&0 4>&1 </dev/null 1>&2
PATH=$PATH:/.spotyard/tools/applets
export PATH
rsync=/.spotyard/tools/bin/rsync
[ -x "$rsync" ] || rsync=$(command -v rsync) || { echo "There is no rsync." >&2; exit 127; }
exec "$rsync" -aH --numeric-ids --partial --blocking-io --no-inc-recursive --mkpath --timeout=120 \
    --info=progress2,stats0 --outbuf=N -e "$1" "source:$2" "$3"
"""


class CopyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the job's arguments say."""

    addresses: list[tuple[str, int]]
    """Where the source's SSH server can be reached, the best first."""
    private_key: str
    """Opens the source to the one command that sends what is at the path."""
    host_keys: list[str]
    source_path: str
    target_path: str


class Copy:
    """Repeatable: rsync compares and does what is left to do."""

    repeatable = True
    lasting = True

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        order = arguments_of(context, CopyOrder)
        if shutil.which("ssh") is None:
            raise JobError("no_ssh", "The target's host has no ssh program, which copies from other machines need.")
        backoff, refusals, tries = Backoff(), 0, 0
        while True:
            door = _door(order, tries // _TRIES_PER_ADDRESS, context.workspace())
            seen = _Try(self._workplace, context, order, door).outcome(self._container(context))
            if seen.state == "done":
                return Outcome(result={}, message=seen.message)
            refusals += seen.reason == "refused"
            if seen.state == "failed" or refusals > _MOST_REFUSALS:
                raise JobError(seen.reason, seen.message or "The source instance lets nobody in.")
            tries += 1
            context.tell(None, f"The source can't be reached now; this is tried again. {seen.message}".strip())
            if context.stop.wait(backoff.next_seconds()) or context.must_end:
                raise JobError("given_up", f"The copy did not come to its end in time. {seen.message}".strip())

    def _container(self, context: JobContext) -> ContainerFacts:
        container = self._workplace.container(context)
        if container is None or not runs(container):
            raise JobError("target_stopped", "The target instance does not run. Start it and copy again.")
        return container


def _door(order: CopyOrder, turn: int, folder: Path) -> Door:
    if not order.addresses:
        raise JobError("no_address", "The source instance has no address at which its SSH server could be reached.")
    host, port = order.addresses[turn % len(order.addresses)]
    return Door(host=host, port=port, private_key=order.private_key, host_keys=tuple(order.host_keys), folder=folder)


class _Try:
    """One conversation between the container's rsync and the source's."""

    def __init__(self, workplace: Workplace, context: JobContext, order: CopyOrder, door: Door) -> None:
        self._workplace = workplace
        self._context = context
        self._order = order
        self._door = door
        self._told, self._ssh_told = bytearray(), bytearray()
        self._ssh: subprocess.Popen[bytes] | None = None
        self._wrong_key = False
        self._ended = threading.Event()

    def outcome(self, container: ContainerFacts) -> Verdict:
        """See it through, or end it when the job is to end."""
        command = ["/bin/sh", "-c", _SCRIPT, "copy", _PIPE, self._order.source_path, self._order.target_path]
        attached = self._workplace.engine.attach(container.container_id, command, {})
        threading.Thread(target=self._take_output, args=(attached,), name="copy-output", daemon=True).start()
        try:
            while not self._ended.wait(_LOOK_SECONDS):
                self._tell_progress()
                if self._context.must_end:
                    self._hang_up(attached)
                    break
            self._ended.wait(_END_SECONDS)
        finally:
            self._hang_up(attached)
        if self._wrong_key:
            message = "Another SSH server than the source's answers at its address, so nothing was copied."
            return Verdict("failed", "wrong_host_key", message)
        told, ssh_told = (text.decode(errors="replace") for text in (self._told, self._ssh_told))
        return verdict(attached.exit_code(_CODE_SECONDS if self._ended.is_set() else 0.0), told, ssh_told)

    def _tell_progress(self) -> None:
        seen = progress(self._told.decode(errors="replace"))
        if seen is not None:
            self._context.tell(seen.share, str(seen))

    def _take_output(self, attached: Attached) -> None:
        """What rsync has for the source goes there; the first line names the command that it wants there."""
        first = bytearray()
        try:
            for is_output, content in attached.output():
                if not is_output:
                    _keep(self._told, content)
                elif self._ssh is not None:
                    self._pass_on(content)
                else:
                    first += content
                    self._begin(attached, first)
        finally:
            self._close_input()
            self._ended.set()

    def _begin(self, attached: Attached, first: bytearray) -> None:
        line, newline, rest = first.partition(b"\n")
        if not newline:
            if len(first) > _LONGEST_COMMAND_BYTES:
                attached.close()
            return
        try:
            self._ssh = self._door.open(line.decode(errors="replace").strip())
        except WrongHostKeyError:
            self._wrong_key = True
            attached.close()
            return
        for target in (self._take_answers, self._take_complaints):
            threading.Thread(target=target, args=(attached, self._ssh), name="copy-ssh", daemon=True).start()
        if rest:
            self._pass_on(bytes(rest))

    def _pass_on(self, content: bytes) -> None:
        if self._ssh is None or self._ssh.stdin is None:
            return
        try:
            self._ssh.stdin.write(content)
            self._ssh.stdin.flush()
        except OSError:
            return  # ssh has ended; rsync hears of it as the end of its input

    def _take_answers(self, attached: Attached, ssh: subprocess.Popen[bytes]) -> None:
        if ssh.stdout is None:
            return
        try:
            while content := ssh.stdout.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]  # a buffered reader
                attached.send(content)
        except (OSError, ValueError):
            return  # the container's rsync has ended
        finally:
            attached.end_input()

    def _take_complaints(self, _attached: Attached, ssh: subprocess.Popen[bytes]) -> None:
        if ssh.stderr is not None:
            while content := ssh.stderr.readline():
                _keep(self._ssh_told, content)

    def _close_input(self) -> None:
        if self._ssh is not None and self._ssh.stdin is not None:
            try:
                self._ssh.stdin.close()
            except OSError:
                return

    def _hang_up(self, attached: Attached) -> None:
        """Both ends then end by themselves, and keep what they have."""
        if self._ssh is not None and self._ssh.poll() is None:
            self._ssh.kill()
            self._ssh.wait()
        attached.close()


def _keep(text: bytearray, content: bytes) -> None:
    text += content
    if len(text) > _KEPT_TEXT_BYTES:
        del text[:-_KEPT_TEXT_BYTES]
