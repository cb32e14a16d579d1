"""The embedded servers: they come up again whatever became of their last run, and end when their parent does."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg2
import pytest

from scripts.services.launching import ServiceError, free_port, port_is_free
from scripts.services.postgres import PostgresServer
from scripts.services.processes import ManagedProcess
from tests.plumbing.environment import start_postgres, start_valkey


def run_sql(server: PostgresServer, statement: str) -> None:
    connection = psycopg2.connect(server.url("postgres"))
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


def test_postgres_keeps_its_data_when_killed(tmp_path: Path) -> None:
    server, process = start_postgres(tmp_path, durable=True)
    run_sql(server, "CREATE TABLE kept (number int)")
    process.kill()

    server, process = start_postgres(tmp_path, durable=True)

    run_sql(server, "INSERT INTO kept VALUES (1)")
    assert process.stop(number=signal.SIGINT) == 0


def test_postgres_takes_no_stranger_for_a_running_server(tmp_path: Path) -> None:
    server, process = start_postgres(tmp_path)
    process.stop(number=signal.SIGINT)
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")

    assert not server.is_running()
    server, process = start_postgres(tmp_path)

    assert server.is_running()
    process.stop(number=signal.SIGINT)


def test_a_left_over_postgres_is_ended_before_a_new_one_starts(tmp_path: Path) -> None:
    _, first = start_postgres(tmp_path)

    _, second = start_postgres(tmp_path)

    assert not first.is_running()
    assert second.is_running()
    second.stop(number=signal.SIGINT)


def test_interrupted_initialisation_is_done_again(tmp_path: Path) -> None:
    half_made = tmp_path / "postgres" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("1")

    server, process = start_postgres(tmp_path)

    assert server.is_ready()
    process.stop(number=signal.SIGINT)


def test_data_of_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, durable=False)
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("12\n")

    with pytest.raises(ServiceError, match=r"written by PostgreSQL 12.*make demo-reset"):
        server.prepare(die_with_parent=None)


def test_valkey_asks_for_its_password_and_comes_up_again_when_killed(tmp_path: Path) -> None:
    server, process = start_valkey(tmp_path)
    with socket.create_connection(("127.0.0.1", int(server.url().rsplit(":", 1)[1].split("/")[0]))) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")
    process.kill()

    server, process = start_valkey(tmp_path)

    assert server.is_ready()
    assert process.stop() == 0


def test_a_process_ends_with_the_parent_that_was_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    script = f"""
import pathlib, time
from scripts.services.processes import ManagedProcess
command = ["sh", "-c", "echo $$ > {pid_file}; exec sleep 600"]
ManagedProcess("sleeper", command, pathlib.Path({str(tmp_path / "log")!r})).start()
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    child = psutil.Process(int(pid_file.read_text()))

    parent.kill()
    parent.wait()

    gone, _ = psutil.wait_procs([child], timeout=20)
    assert gone == [child]


def test_stopping_ends_what_the_process_started_too(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    process = ManagedProcess(
        "group", ["sh", "-c", f"sleep 600 & echo $! > {ready}; trap : TERM; wait; wait"], tmp_path / "log"
    )
    process.start()
    grandchild = psutil.Process(int(ready.read_text()))

    process.stop(grace_seconds=0)

    gone, _ = psutil.wait_procs([grandchild], timeout=20)
    assert gone == [grandchild]


def test_free_port_keeps_the_preferred_one_where_it_can() -> None:
    port = free_port()
    assert free_port(port) == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert not port_is_free(port)
        assert free_port(port) != port
