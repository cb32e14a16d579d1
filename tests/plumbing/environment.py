"""A pytest plugin that points Django at servers for this run, before anything reads the settings.

DATABASE_URL and REDIS_URL are taken where they are set. Otherwise a PostgreSQL and a Valkey are started for
this run alone, in a folder of its own, and end with it, even when it is killed: runs side by side never meet.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.services.postgres import PostgresServer
from scripts.services.postgres import wait_ready as wait_for_postgres
from scripts.services.processes import ManagedProcess
from scripts.services.valkey import ValkeyServer
from scripts.services.valkey import wait_ready as wait_for_valkey
from tests.plumbing.template import forget_template, name_template

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = ROOT / "var" / "test"

_running: list[ManagedProcess] = []


def start_postgres(directory: Path, *, durable: bool = False) -> tuple[PostgresServer, ManagedProcess]:
    """A PostgreSQL with its data in ``directory``, taking connections, without any database of ours."""
    server = PostgresServer(directory / "postgres", durable=durable)
    process = ManagedProcess("postgres", server.prepare(die_with_parent="INT"), directory / "postgres.log")
    process.start()
    assert process.popen is not None
    wait_for_postgres(server, process.popen, process.log)
    return server, process


def start_valkey(directory: Path) -> tuple[ValkeyServer, ManagedProcess]:
    """An empty Valkey that answers."""
    server = ValkeyServer(directory / "valkey")
    process = ManagedProcess("valkey", server.prepare(die_with_parent="TERM"), directory / "valkey.log")
    process.start()
    assert process.popen is not None
    wait_for_valkey(server, process.popen, process.log)
    return server, process


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """Runs before pytest-django loads the settings (it does so in this very hook)."""
    os.environ["TESTING"] = "1"
    # The processes that tests start by the hundred would otherwise compile all of Django, each anew.
    sys.dont_write_bytecode = False
    for name in ("DEMO", "DEBUG", "SITE_URL", "AGENT_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _start_servers()
    else:
        # Databases are told apart by pytest-django; in Valkey every worker takes a numbered one of its own.
        base = os.environ["REDIS_URL"].rsplit("/", 1)[0]
        os.environ["REDIS_URL"] = f"{base}/{int(worker.removeprefix('gw')) + 1}"
    yield


def pytest_unconfigure() -> None:
    """End what this run started."""
    if "PYTEST_XDIST_WORKER" not in os.environ and not _running and "DATABASE_URL" in os.environ:
        forget_template()
    while _running:
        _running.pop().stop()
    shutil.rmtree(RUNS / str(os.getpid()), ignore_errors=True)


def _start_servers() -> None:
    _remove_left_overs()
    name_template()
    directory = RUNS / str(os.getpid())
    # Static files are served from their sources in tests, but the folder for collected ones must be there.
    (directory / "static").mkdir(parents=True)
    os.environ["STATIC_ROOT"] = str(directory / "static")
    if "DATABASE_URL" not in os.environ:
        postgres, process = start_postgres(directory)
        _running.append(process)
        postgres.create_database()
        os.environ["DATABASE_URL"] = postgres.url()
    if "REDIS_URL" not in os.environ:
        valkey, process = start_valkey(directory)
        _running.append(process)
        os.environ["REDIS_URL"] = valkey.url()


def _remove_left_overs() -> None:
    """Folders of runs that were killed (their servers ended with them)."""
    for folder in RUNS.iterdir() if RUNS.exists() else []:
        if folder.name.isdigit() and not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
