"""The demo from start to end, in the foreground: prepare, start, announce, tend, stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import requests

from scripts import engine
from scripts.demo import agents, containers, programs, static_files, tunnels
from scripts.demo.layout import ROOT, SIMULATED, Layout
from scripts.demo.supervisor import Service, Supervisor, end_left_overs
from scripts.image import IMAGE
from scripts.services import postgres, valkey
from scripts.services.launching import ServiceError, port_is_free, tail
from scripts.services.processes import ManagedProcess

LOGS_KEPT = 3
WEB_TIMEOUT_SECONDS = 60
ENGINE_HOLDER = "demo"
TICK_SECONDS = 0.05
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequestedError(Exception):
    """Ctrl-C, or `make demo-stop`."""


@dataclass
class Demo:
    """One run of the demo. ``began`` is the wall-clock time at which the person pressed Enter."""

    layout: Layout
    began: float
    jobs: list[ManagedProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.layout.data / "processes.json", self._warn)
        self.environment: dict[str, str] = {}
        self._resuming: ManagedProcess | None = None

    def run(self) -> None:
        """Start everything, then keep it running until told to stop. Raises ServiceError and StopRequestedError."""
        try:
            self._clean_up()
            self._start_servers()
            self._start_engine()
            self._resume_containers()
            image = self._job("image", [sys.executable, "-m", "scripts.image"])
            # Nobody waits for these: agents are told of them as soon as they are there.
            self._job("guest-tools", [sys.executable, "-m", "scripts.guest_tools"])
            site = self._start_site()
            self._finish(image, site)
            self._announce()
            self._job("benchmark", programs.python("scripts.demo.benchmark"))
            self._tend_until_stopped()
        finally:
            self._stop()

    def _clean_up(self) -> None:
        for stale in (self.layout.ready, self.layout.announced, self.layout.prepared, self.layout.go):
            stale.unlink(missing_ok=True)
        end_left_overs(self.layout.data / "processes.json")
        rotate_logs(self.layout.logs)
        for port in range(self.layout.port, self.layout.last_port + 1):
            if not port_is_free(port):
                raise ServiceError(
                    f"Port {port} is taken by another program. The demo needs {self.layout.port} to "
                    f"{self.layout.last_port}; choose others with, for example, "
                    f"make demo PORT={self.layout.port + 100}"
                )

    def _start_servers(self) -> None:
        with self._step("PostgreSQL and Valkey") as notes:
            database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
            if database_url and redis_url:
                notes.append("yours, from DATABASE_URL and REDIS_URL")
            self.environment = programs.environment(
                self.layout,
                database_url=database_url or self._start_postgres(),
                redis_url=redis_url or self._start_valkey(),
            )

    def _start_postgres(self) -> str:
        server = postgres.PostgresServer(self.layout.data / "postgres", durable=True)
        process = self._process("postgres", [])
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for its clients to leave.
        service = Service(process, lambda: self._command(process, server.prepare(die_with_parent="INT")), 20)
        service.stop_signal = signal.SIGINT
        self.supervisor.add(service)
        if process.popen is not None:
            postgres.wait_ready(server, process.popen, process.log)
        server.create_database()
        return server.url()

    def _start_valkey(self) -> str:
        server = valkey.ValkeyServer(self.layout.data / "valkey")
        process = self._process("valkey", [])
        self.supervisor.add(Service(process, lambda: self._command(process, server.prepare(die_with_parent="TERM"))))
        if process.popen is not None:
            valkey.wait_ready(server, process.popen, process.log)
        return server.url()

    def _start_engine(self) -> None:
        with self._step("Docker engine") as notes:
            notes.append(engine.ensure(ENGINE_HOLDER, holder_pid=os.getpid()))

    def _resume_containers(self) -> None:
        command = containers.resume_command(self.layout.paused_containers)
        if command is not None:
            self._resuming = self._job("resume-containers", command)

    def _start_site(self) -> ManagedProcess:
        """Database, web and agents; the job that goes on to list and rent machines once it is told to."""
        with self._step("database schema, accounts, static files, web"):
            # Loading Django is most of the work, on few cores: nothing is loaded twice, nothing waits needlessly.
            arguments = [str(self.layout.data), str(self.layout.ready), IMAGE]
            site = self._job("site", [*programs.python("scripts.demo.site"), *arguments])
            self._collect_static()
            self._add("web", programs.web(self.layout))
            self._add("held", programs.held(self.layout), programs.held_environment(self.environment))
            self._wait_for(site, until=self.layout.prepared)
            for address in (self.layout.url, self.layout.held_url):
                self._wait_until_healthy(address)
        if self._resuming is not None:
            self._wait_for(self._resuming, must_succeed=False)
        agents.follow([self.layout.agent_state, self.layout.fleet_state], self.layout.held_url)
        self._add("agent", programs.agent(self.layout))
        self._add("fleet", programs.fleet(self.layout))
        return site

    def _collect_static(self) -> None:
        root = Path(self.environment["STATIC_ROOT"])
        if not static_files.is_current(root):
            command = programs.manage("collectstatic", "--noinput", "--verbosity=0")
            self._wait_for(self._job("collectstatic", command))
            static_files.mark_current(root)

    def _finish(self, image: ManagedProcess, site: ManagedProcess) -> None:
        with self._step(f"container image {IMAGE}, from Debian packages"):
            self._wait_for(image)
        with self._step(f"agents ({SIMULATED} on the real engine; a simulated market), first rentals"):
            self.layout.go.touch()
            self._wait_for(site)
        # What they do can wait a moment; what comes before can not.
        self._add("relay", programs.relay())
        self._add("provider", programs.provider(self.layout))
        self._add("worker", programs.worker())
        self._add("clearing", programs.clearing())
        self._add("beat", programs.beat(self.layout.data))

    def _announce(self) -> None:
        ready = json.loads(self.layout.ready.read_text())
        print(f"\nSpotyard is ready after {time.time() - self.began:.1f} s: {ready['url']}\n", flush=True)
        for role, account in ready["accounts"].items():
            print(f"  {role:<8} {account['email']:<28} password {account['password']}")
        print(f"\n  For programs: {relative(self.layout.ready)}. Mail that the site sends: {self._log('web')}.")
        print(f"  Logs: {relative(self.layout.logs)}/. GPUs here are simulated, containers are real.")
        print("  In a few minutes the machine's page shows a benchmark, once the program's image is made.", flush=True)
        self.layout.announced.touch()

    def _tend_until_stopped(self) -> None:
        while True:
            self._tick()

    def _tick(self) -> None:
        time.sleep(TICK_SECONDS)
        self.supervisor.tend()

    def _wait_for(self, job: ManagedProcess, *, until: Path | None = None, must_succeed: bool = True) -> None:
        """Wait until ``job`` has ended, or has written the file ``until``."""
        while job.is_running():
            if until is not None and until.exists():
                return
            self._tick()
        if must_succeed and job.exit_code != 0:
            raise ServiceError(f"{job.name} failed (code {job.exit_code}); {job.log} ends with:\n{tail(job.log)}")

    def _wait_until_healthy(self, address: str) -> None:
        deadline = time.monotonic() + WEB_TIMEOUT_SECONDS
        while not _answers(f"{address}/healthz/"):
            if time.monotonic() > deadline:
                raise ServiceError(f"{address}/healthz/ does not answer; {self._log('web')}, {self._log('held')}")
            self._tick()

    def _stop(self) -> None:
        """End all that was started; instances' disks stay. A second Ctrl-C does not cut this short."""
        former = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
        try:
            self._end_all()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _end_all(self) -> None:
        self.layout.ready.unlink(missing_ok=True)
        for job in self.jobs:
            job.stop(grace_seconds=2)
        self.supervisor.stop()
        tunnels.end(self.layout.data)
        if engine.answers():
            containers.stop(self.layout.owners(), self.layout.paused_containers)
        engine.release(ENGINE_HOLDER)

    def _add(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.supervisor.add(Service(self._process(name, command, environment)))

    def _job(self, name: str, command: list[str]) -> ManagedProcess:
        """Start something that ends by itself."""
        job = self._process(name, command)
        self.jobs.append(job)
        job.start()
        return job

    def _process(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> ManagedProcess:
        return ManagedProcess(name, command, self.layout.log(name), environment or self.environment, ROOT)

    @staticmethod
    def _command(process: ManagedProcess, command: list[str]) -> None:
        process.command = command

    def _log(self, name: str) -> str:
        return relative(self.layout.log(name))

    @contextmanager
    def _step(self, what: str) -> Iterator[list[str]]:
        """Print one line of progress when the work in the block is done, with notes that it leaves."""
        started = time.monotonic()
        notes: list[str] = []
        yield notes
        remark = f" ({'; '.join(notes)})" if notes else ""
        print(f"  {time.monotonic() - started:5.1f} s  {what}{remark}", flush=True)

    def _warn(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def raise_on_signals() -> None:
    """Turn Ctrl-C, `kill` and a closed terminal into StopRequestedError in the main thread."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise StopRequestedError

    for number in STOP_SIGNALS:
        signal.signal(number, handler)


def rotate_logs(folder: Path) -> None:
    """Give every log of the last run a number, the oldest going away: each run's logs start empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        if log.name == "demo.log":  # our own output: whoever put us in the background began it anew
            continue
        for number in range(LOGS_KEPT, 1, -1):
            older = log.with_suffix(f".log.{number - 1}")
            if older.exists():
                older.rename(log.with_suffix(f".log.{number}"))
        log.rename(log.with_suffix(".log.1"))


def relative(path: Path) -> str:
    """``path`` as seen from the checkout, for messages."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def end_remains(layout: Layout) -> None:
    """End what a supervisor that was killed left: processes, containers, an engine that only it used."""
    end_left_overs(layout.data / "processes.json")
    tunnels.end(layout.data)
    if engine.answers():
        containers.stop(layout.owners(), layout.paused_containers)
    engine.release(ENGINE_HOLDER)


def remove_data(layout: Layout) -> None:
    """Forget everything of the demo: its containers with their disks, its database, its files."""
    owners = layout.owners()
    if owners:
        try:
            engine.ensure("reset", holder_pid=os.getpid())
            containers.remove(owners)
        except ServiceError as error:
            print(f"The demo's containers stay: {error}", file=sys.stderr)
        finally:
            engine.release("reset")
    layout.ready.unlink(missing_ok=True)
    # The servers' files belong to another account; `rm` names what it cannot remove.
    subprocess.run(["rm", "-rf", "--", str(layout.data)], check=True)
