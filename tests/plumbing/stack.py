"""The whole product as real processes: gunicorn twice, the relay, Celery, host agents, a database of its own.

    with Stack(directory) as stack:
        agent = stack.start_agent("first", token=...)
        requests.get(stack.url + "/healthz/")
        stack.processes["web"].kill()
        stack.restart("web")

Nothing here waits a fixed time: readiness is asked for. Every process logs to a file in the stack's folder.
"""

import os
import subprocess
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from scripts.demo import containers, programs, tunnels
from scripts.demo.layout import ROOT, Layout
from scripts.services.launching import tail, wait_until
from scripts.services.processes import ManagedProcess
from tests.plumbing.environment import start_valkey
from tests.plumbing.ports import PORTS_PER_BLOCK, claim_block, claim_ports
from tests.plumbing.template import copy_template, execute, server_of

START_TIMEOUT_SECONDS = 150.0
"""Far more than anything takes, on purpose: a busy machine is no failure, and only a failure waits so long."""


class Stack:
    """One running installation. ``directory`` is empty or new; ``settings`` are added to every process's environment.

    ``database_url`` names any database of a server on which databases may be created; by default the test run's.
    """

    def __init__(
        self, directory: Path, *, database_url: str | None = None, settings: dict[str, str] | None = None
    ) -> None:
        self.directory = directory
        block = claim_block()
        self.layout = Layout(block, directory, f"{block + 10}-{block + PORTS_PER_BLOCK - 1}")
        self.url = self.layout.url
        """Address of pages and the public API."""
        self.agent_url = self.layout.held_url
        """Address that agents are given."""
        self.processes: dict[str, ManagedProcess] = {}
        self.settings = dict(settings or {})
        """Added to every process's environment when the stack starts."""
        self._server_url = server_of(database_url or os.environ["DATABASE_URL"])
        self.database = f"stack_{uuid.uuid4().hex[:12]}"
        self.environment: dict[str, str] = {}
        """What every process of this stack has in its environment."""

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start("provider", programs.provider(self.layout))
            self.start("web", programs.web(self.layout))
            self.start("held", programs.held(self.layout), SYNC_HOLD_MAX_SECONDS="25")
            self.start("relay", programs.relay())
            self.start("worker", programs.worker())
            self.start("clearing", programs.clearing())
            self.start("beat", programs.beat(self.layout.data))
            self.wait_until_healthy()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def database_url(self) -> str:
        """The stack's own database, for looking into it from a test."""
        return f"{self._server_url}/{self.database}"

    def start(self, name: str, command: list[str], **settings: str) -> ManagedProcess:
        """Start a process of the stack under ``name``."""
        environment = self.environment | settings
        process = ManagedProcess(name, command, self.layout.log(name), environment, ROOT)
        self.processes[name] = process
        process.start()
        return process

    def restart(self, name: str) -> ManagedProcess:
        """End the process ``name`` if it still runs, and start it again with the same command."""
        process = self.processes[name]
        process.stop()
        process.start()
        return process

    def start_agent(
        self,
        name: str,
        *,
        token: str,
        simulate: str = "4x RTX 3090",
        ports: str = "",
        options: tuple[str, ...] = (),
        within: tuple[str, ...] = (),
    ) -> ManagedProcess:
        """A host agent with simulated GPUs on the real engine; registers with the install token ``token``.

        ``ports`` is its range of public ports, like ``22000-22019``; when empty, one that nobody else uses. ``within``
        is a command that runs the agent somewhere else, where its address is whatever the server sees.
        """
        state = self.agent_state(name)
        state.mkdir(parents=True, exist_ok=True)
        token_file = state.with_suffix(".token")
        token_file.touch(mode=0o600)
        token_file.write_text(token)
        server = self.environment["AGENT_URL"]
        command = [*within, *programs.python("agent"), "--server", server, "--token-file", str(token_file)]
        command += ["--simulate", simulate, "--state-dir", str(state), "--local-registries"]
        command += [] if within else ["--public-address", "127.0.0.1"]
        return self.start(f"agent-{name}", [*command, "--ports", ports or claim_ports(), *options])

    def agent_state(self, name: str) -> Path:
        """State directory of the agent ``name``."""
        return self.directory / "agents" / name

    def manage(self, *arguments: str) -> str:
        """Run a management command against this stack; its output. CalledProcessError carries both streams."""
        done = subprocess.run(
            programs.manage(*arguments), cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def shell(self, code: str) -> str:
        """Run Python inside the stack's Django, for what only staff may do; what it printed."""
        return self.manage("shell", "--verbosity=0", "--command", code)

    def wait_until_healthy(self) -> None:
        """Wait until both web processes answer; the logs are in the error when they don't."""
        for name, address in (("web", self.url), ("held", self.agent_url)):
            self.wait_for(partial(self._is_healthy, name, address), f"{address} to answer")

    def wait_for(
        self, condition: Callable[[], bool], what: str, *, timeout_seconds: float = START_TIMEOUT_SECONDS
    ) -> None:
        """Poll ``condition``; on time-out the error shows the end of every log."""
        wait_until(
            condition,
            timeout_seconds=timeout_seconds,
            failure=lambda: f"Waited {timeout_seconds} s for {what}.\n{self.log_tails()}",
        )

    def log_tails(self, lines: int = 40) -> str:
        """The end of each process's log, for failure reports."""
        return "\n".join(f"--- {log.name}\n{tail(log, lines)}" for log in sorted(self.layout.logs.glob("*.log")))

    def close(self) -> None:
        """End all processes, remove the agents' containers and the database."""
        for process in reversed(self.processes.values()):
            process.ask()
        for process in self.processes.values():
            process.stop(grace_seconds=5)
        self.processes.clear()
        tunnels.end(self.directory / "agents")
        containers.remove(containers.owners_in(self.directory / "agents"))
        execute(self._server_url, f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')

    def _is_healthy(self, name: str, address: str) -> bool:
        process = self.processes[name]
        assert process.is_running(), f"{name} ended with code {process.exit_code}:\n{tail(process.log, 40)}"
        return _answers(f"{address}/healthz/")

    def _prepare(self) -> None:
        self.layout.data.mkdir(parents=True, exist_ok=True)
        copy_template(self._server_url, self.database)
        valkey, process = start_valkey(self.directory)
        self.processes["valkey"] = process
        environment = programs.environment(self.layout, database_url=self.database_url, redis_url=valkey.url()) | {
            "DEMO": "0",
            "TESTING": "0",
            "EMAIL_URL": "consolemail://",
            "STATIC_COMPRESSED": "0",
        }
        self.environment = environment | self.settings
        self.manage("collectstatic", "--noinput", "--verbosity=0")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
