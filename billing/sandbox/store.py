"""What the sandbox remembers: objects by id, newest last, in one SQLite file."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Object = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, seq);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, event_id TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """Every method belongs to a ``transaction``; transactions run one after the other."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False)
        self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what the block writes."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def get(self, object_id: str) -> Object | None:
        """The object; None when there is none."""
        row = self._db.execute("SELECT body FROM objects WHERE id = ?", [object_id]).fetchone()
        return None if row is None else _loaded(row[0])

    def put(self, found: Object) -> Object:
        """Write an object with its ``id`` and ``object``; one with this id is replaced and keeps its place."""
        self._db.execute(
            "INSERT INTO objects (id, kind, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            [found["id"], found["object"], json.dumps(found)],
        )
        return found

    def delete(self, object_id: str) -> None:
        """Forget the object."""
        self._db.execute("DELETE FROM objects WHERE id = ?", [object_id])

    def newest(self, kind: str) -> list[Object]:
        """All objects of a kind, newest first."""
        rows = self._db.execute("SELECT body FROM objects WHERE kind = ? ORDER BY seq DESC", [kind])
        return [_loaded(body) for (body,) in rows]

    def answer_of(self, key: str) -> tuple[str, int, str] | None:
        """Fingerprint of the request, status and body that an idempotency key was answered with."""
        row = self._db.execute("SELECT fingerprint, status, body FROM answers WHERE key = ?", [key]).fetchone()
        return None if row is None else (str(row[0]), int(row[1]), str(row[2]))

    def answer_keep(self, key: str, fingerprint: str, status: int, body: str) -> None:
        """The answer that this key gets from now on."""
        self._db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", [key, fingerprint, status, body])

    def note(self, name: str, default: Any = None) -> Any:
        """A setting that outlives a restart."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", [name]).fetchone()
        return default if row is None else json.loads(row[0])

    def note_set(self, name: str, value: Any) -> None:
        """Change a setting."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", [name, json.dumps(value)])

    def execute(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        """Rows of a statement of ours; for what has a table of its own."""
        return self._db.execute(sql, parameters).fetchall()


def _loaded(body: str) -> Object:
    found: Object = json.loads(body)
    return found
