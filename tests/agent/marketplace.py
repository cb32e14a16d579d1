"""A marketplace for tests: a local HTTP server that speaks the agent's protocol and misbehaves on demand."""

import contextlib
import hashlib
import platform
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from agent.job_protocol import DesiredJob, JobReport
from agent.protocol import (
    BUNDLE_PATH,
    SYNC_PATH,
    TOOLS_PATH,
    AgentRelease,
    DesiredTask,
    ErrorReply,
    Message,
    ObservedTask,
    OutputReply,
    Phase,
    SyncReply,
    SyncRequest,
    ToolsBundle,
    decode,
    encode,
)
from agent.register_protocol import CHECK_PATH, REGISTER_PATH, CheckReply, CheckRequest, RegisterReply, RegisterRequest
from agent.volume_protocol import DesiredVolume, ObservedVolume
from hosting.domain.requirements import check, facts_of

TOKEN = "install-me"
_LOOK_SECONDS = 0.05
Fault = Literal["lose_request", "lose_reply", "server_error", "garbage"]


@dataclass
class Marketplace:
    """``url`` once entered; ``desire`` what you want; ``await_phase`` what comes of it."""

    machine_id: int = 7
    credentials: set[str] = field(default_factory=set)
    registrations: list[RegisterRequest] = field(default_factory=list)
    syncs: list[SyncRequest] = field(default_factory=list)
    refusal: tuple[int, ErrorReply] | None = None
    sync_path: str = SYNC_PATH
    holds: bool = True
    faults: deque[Fault] = field(default_factory=deque)
    generation: int = 0
    tasks: dict[int, DesiredTask] = field(default_factory=dict)
    volumes: dict[int, DesiredVolume] | None = None
    bundle: ToolsBundle | None = None
    bundle_content: bytes = b""
    bundle_asked: list[str] = field(default_factory=list)
    """The Range of every request for it."""
    bundle_cuts: deque[int] = field(default_factory=deque)
    """After how many bytes the next downloads break off."""
    release: AgentRelease | None = None
    release_content: bytes = b""
    jobs: dict[int, DesiredJob] | None = None
    reports: list[JobReport] = field(default_factory=list)
    outputs: dict[int, bytes] = field(default_factory=dict)
    logs: dict[tuple[int, str], bytes] = field(default_factory=dict)
    watched: bool = True
    takes_logs: bool = True

    def __post_init__(self) -> None:
        self.condition = threading.Condition()
        self.closing = False
        self._boot_ids: dict[str, int] = {}

    def __enter__(self) -> "Marketplace":
        marketplace = self

        class Handler(_Handler):
            market = marketplace

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.condition:
            self.closing = True
            self.condition.notify_all()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def lend(self, content: bytes, digest: str = "") -> None:
        """From now on these guest tools, under their own digest or another."""
        digest = digest or hashlib.sha256(content).hexdigest()
        with self.condition:
            self.bundle_content = content
            url = f"{self.url}{TOOLS_PATH}{digest}"
            self.bundle = ToolsBundle(arch=platform.machine(), digest=digest, size_bytes=len(content), url=url)
            self.generation += 1
            self.condition.notify_all()

    def offer(self, version: str, content: bytes) -> None:
        """From now on this agent."""
        digest = hashlib.sha256(content).hexdigest()
        with self.condition:
            self.release_content = content
            url = f"{self.url}{BUNDLE_PATH}{digest}"
            self.release = AgentRelease(version=version, digest=digest, size_bytes=len(content), url=url)
            self.generation += 1
            self.condition.notify_all()

    def desire(self, *tasks: DesiredTask) -> None:
        """From now on these tasks as they are here, besides those named earlier."""
        with self.condition:
            self.tasks |= {task.task_id: task for task in tasks}
            self.generation += 1
            self.condition.notify_all()

    def keep(self, *volumes: DesiredVolume) -> None:
        """From now on these volumes as they are here, besides those named earlier."""
        with self.condition:
            self.volumes = (self.volumes or {}) | {volume.volume_id: volume for volume in volumes}
            self.generation += 1
            self.condition.notify_all()

    def await_volume(self, volume_id: int, state: str) -> ObservedVolume:
        """Wait until the volume is reported in this state."""

        def told() -> list[ObservedVolume]:
            return [one for one in self.syncs[-1].volumes or () if (one.volume_id, one.state) == (volume_id, state)]

        self.await_that(lambda: bool(self.syncs and told()))
        return told()[0]

    def drop(self, task_id: int) -> None:
        """Speak of the task no more."""
        with self.condition:
            del self.tasks[task_id]
            self.generation += 1
            self.condition.notify_all()

    def observed(self, task_id: int) -> ObservedTask | None:
        """The task as last reported."""
        newest = max(self.syncs, key=lambda sync: sync.seq if sync.session_id == self.syncs[-1].session_id else -1)
        return next((task for task in newest.tasks if task.task_id == task_id), None)

    def phases(self, task_id: int) -> list[tuple[Phase, int]]:
        """All distinct phases reported one after the other, with their runs."""
        seen: list[tuple[Phase, int]] = []
        for sync in list(self.syncs):
            for task in sync.tasks:
                if task.task_id == task_id and (task.phase, task.run_generation) not in seen[-1:]:
                    seen.append((task.phase, task.run_generation))
        return seen

    def await_that(self, true: Callable[[], bool], seconds: float = 90.0) -> None:
        """Wait for something to become true: of what was received, or of the world, which is looked at now and then."""
        deadline = time.monotonic() + seconds
        with self.condition:
            while not true():
                assert time.monotonic() < deadline, f"not within {seconds} s; last: {self.syncs[-1:]}"
                self.condition.wait(_LOOK_SECONDS)

    def await_phase(self, task_id: int, phase: Phase, run_generation: int | None = None) -> ObservedTask:
        """Wait until the task is reported in this phase, of this run where given."""

        def reached() -> bool:
            task = self.observed(task_id) if self.syncs else None
            return task is not None and task.phase == phase and run_generation in (None, task.run_generation)

        self.await_that(reached)
        found = self.observed(task_id)
        assert found is not None
        return found

    def on_register(self, request: RegisterRequest) -> tuple[int, Message]:
        with self.condition:
            self.registrations.append(request)
            self.condition.notify_all()
            if self.refusal is not None:
                return self.refusal
            if request.token != TOKEN:
                return 401, ErrorReply(error="bad_token", msg="This install token is not valid.")
            machine_id = self._boot_ids.setdefault(request.boot_id, self.machine_id + len(self._boot_ids))
            credential = f"credential-{machine_id}-{len(self.registrations)}"
            self.credentials.add(credential)
            return 200, RegisterReply(machine_id=machine_id, credential=credential, sync_url=self.url + SYNC_PATH)

    def on_sync(self, credential: str, request: SyncRequest) -> tuple[int, Message]:
        with self.condition:
            if credential not in self.credentials:
                return 401, ErrorReply(error="credential_revoked", msg="This machine's credential is not valid.")
            if self.refusal is not None:
                return self.refusal
            self.syncs.append(request)
            self._take_reports(request)
            self.condition.notify_all()
            self.condition.wait_for(
                lambda: self.closing or self.generation != request.known_generation,
                request.hold_seconds if self.holds else 0.0,
            )
            tasks = list(self.tasks.values())
            jobs = None if self.jobs is None else list(self.jobs.values())
            return 200, SyncReply(
                generation=self.generation,
                tasks=tasks,
                sync_url=self.url + self.sync_path,
                tools=self.bundle,
                jobs=jobs,
                agent=self.release,
                volumes=None if self.volumes is None else list(self.volumes.values()),
            )

    def ask(self, job: DesiredJob) -> None:
        """From now on this job is listed, until it is reported done or failed."""
        with self.condition:
            self.jobs = (self.jobs or {}) | {job.job_id: job}
            self.generation += 1
            self.condition.notify_all()

    def end_of(self, job_id: int) -> JobReport:
        """The job's last report, once it is over."""
        self.await_that(lambda: any(one.job_id == job_id and one.state != "running" for one in self.reports))
        return next(one for one in reversed(self.reports) if one.job_id == job_id)

    def _take_reports(self, request: SyncRequest) -> None:
        for report in request.jobs or ():
            self.reports.append(report)
            if report.state != "running" and self.jobs is not None:
                self.jobs.pop(report.job_id, None)

    def on_bytes(self, credential: str, path: str, content: bytes) -> tuple[int, Message]:
        """Output of jobs, and logs of containers that are gone."""
        with self.condition:
            if credential not in self.credentials:
                return 401, ErrorReply(error="credential_revoked", msg="This machine's credential is not valid.")
            parts, _, value = path.partition("?")[0].split("/"), *path.partition("=")[1:]
            number = int(parts[-2])
            self.condition.notify_all()
            if parts[-1] == "log":
                if not self.takes_logs:
                    return 503, ErrorReply(error="away", msg="Not now.")
                self.logs[number, value] = zlib.decompress(content)
                return 200, OutputReply(received_bytes=len(content), wanted=False)
            known = self.outputs.get(number, b"")
            self.outputs[number] = known[: int(value)] + content
            return 200, OutputReply(received_bytes=len(self.outputs[number]), wanted=self.watched)


class _Handler(BaseHTTPRequestHandler):
    market: Marketplace
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        expected = int(self.headers["Content-Length"])
        body = self.rfile.read(expected)
        if len(body) < expected:  # the agent went away in the middle
            self.close_connection = True
            return
        fault = self.market.faults.popleft() if self.market.faults else None
        if fault == "lose_request":
            self.close_connection = True
            return
        status, reply = self._answer(body)
        if fault == "lose_reply":
            self.close_connection = True
            return
        content = b"<html>bad gateway" if fault in ("garbage", "server_error") else encode(reply)
        self.send_response(502 if fault == "server_error" else status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """The agent, for anybody, and the guest tools."""
        market = self.market
        if market.release is not None and market.release.url.endswith(self.path):
            self.send_response(200)
            self.send_header("Content-Length", str(len(market.release_content)))
            self.end_headers()
            self.wfile.write(market.release_content)
            return
        content, cut = market.bundle_content, market.bundle_cuts.popleft() if market.bundle_cuts else None
        asked = self.headers.get("Range", "")
        market.bundle_asked.append(asked)
        known = self.headers.get("Authorization", "").removeprefix("Bearer ") in market.credentials
        if not known or market.bundle is None or not self.path.endswith(market.bundle.digest):
            self.send_error(404)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-") or 0)
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : None if cut is None else first + cut])
        if cut is not None:
            self.close_connection = True

    def _answer(self, body: bytes) -> tuple[int, Message]:
        if self.path == CHECK_PATH:
            asked = decode(CheckRequest, body)
            return self.market.refusal or (
                200,
                CheckReply(requirements=check(facts_of(asked.inventory, asked.inventory.gpus))),
            )
        if self.path == REGISTER_PATH:
            return self.market.on_register(decode(RegisterRequest, body))
        credential = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path.partition("?")[0].endswith(("/output", "/log")):
            return self.market.on_bytes(credential, self.path, body)
        return self.market.on_sync(credential, decode(SyncRequest, body))

    def handle(self) -> None:
        """Agents may go away in the middle of a request."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Quiet."""
