"""One database with the present schema for a whole run. Every other one is a copy of it: migrating takes far longer
than copying, and each worker and each stack needs a database of its own."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import psycopg2.extensions

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "SPOTYARD_TEMPLATE_DATABASE"
"""Environment variable with the template's name, which the processes of a run share."""
LOCK_NUMBER = 7_350_112
"""Advisory lock: one process at a time makes the template."""


def name_template() -> None:
    """Give this run's template a name, for this process and those that it starts."""
    os.environ[NAME] = f"template_{os.getpid()}"


def template_database(server_url: str) -> str:
    """Name of the template on this server (``postgresql://…`` without database), made now if it isn't there yet."""
    if NAME not in os.environ:
        name_template()
    name = os.environ[NAME]
    with closing(_connected(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK_NUMBER])
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            _make(cursor, server_url, name)
    return name


def copy_template(server_url: str, database: str) -> None:
    """A new database with the present schema and nothing else."""
    template = template_database(server_url)
    execute(server_url, f'CREATE DATABASE "{database}" TEMPLATE "{template}"')


def forget_template() -> None:
    """Remove this run's template from the server that DATABASE_URL names."""
    if (name := os.environ.pop(NAME, None)) is not None:
        execute(server_of(os.environ["DATABASE_URL"]), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def server_of(database_url: str) -> str:
    """The URL without the database."""
    return database_url.rsplit("/", 1)[0]


def execute(server_url: str, statement: str) -> None:
    """Run a statement on the server outside any transaction."""
    with closing(_connected(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _make(cursor: psycopg2.extensions.cursor, server_url: str, name: str) -> None:
    """It gets its name when it is whole: what a killed process has left is made anew."""
    cursor.execute(f'DROP DATABASE IF EXISTS "{name}_unfinished" WITH (FORCE)')
    cursor.execute(f'CREATE DATABASE "{name}_unfinished"')
    environment = os.environ | {"DATABASE_URL": f"{server_url}/{name}_unfinished", "TESTING": "1"}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--noinput", "--verbosity=0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"migrating failed:\n{done.stdout}\n{done.stderr}"
    cursor.execute(f'ALTER DATABASE "{name}_unfinished" RENAME TO "{name}"')


def _connected(server_url: str) -> psycopg2.extensions.connection:
    assert urlsplit(server_url).scheme == "postgresql"
    connection = psycopg2.connect(f"{server_url}/postgres")
    connection.autocommit = True
    return connection
