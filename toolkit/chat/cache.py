"""Replies that were paid for, by the content of the question: an SQLite file that several processes may share.

The caller decides which replies are kept. Each question has one row, written in one transaction; if several processes
write it, the first one counts for all. The file has to be on a local
disk: SQLite's write-ahead log does not work over a network file system.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from toolkit.chat.caller import CallerSpec

SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0
"""How long to wait for another process that is writing."""

_HINT = "give another file, or move this one away"
_TABLE = """
CREATE TABLE {kept} (
    question TEXT PRIMARY KEY,
    {kept} TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT, WITHOUT ROWID
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept reply, and what it cost."""

    text: str
    """To be read as strictly as the reply, since files can be changed."""
    prompt_tokens: int
    completion_tokens: int


def question_key(**parts: Any) -> str:
    """Return the key of a question: the hash of everything that decides its answer, as JSON values."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


# SQLite reports some collisions, as when two processes switch to the write-ahead log, without waiting by itself.
_while_busy = retry(
    retry=retry_if_exception(_is_busy), stop=stop_after_delay(BUSY_SECONDS), wait=wait_random(0.01, 0.1), reraise=True
)


class ReplyCache:
    """An open cache file; to be used from one thread."""

    def __init__(self, path: Path, caller: CallerSpec) -> None:
        """Open the file, or make it.

        Raises:
            ChatError: the caller's; it cannot be opened, is something else, or has another version's schema.
        """
        self.path = path
        self.caller = caller
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _open(path, caller)
        except sqlite3.Error as error:
            raise caller.error(f"{caller.name}_cache: {path}: {error}; {_HINT}") from error

    def get(self, question: str) -> Kept | None:
        """Return what is kept of a question, or None."""
        kept = self.caller.kept
        query = f"SELECT {kept}, prompt_tokens, completion_tokens FROM {kept} WHERE question = ?"  # noqa: S608 - our own
        row = self._do(lambda: self._connection.execute(query, (question,)).fetchone())
        return Kept(*row) if row else None

    def put(self, question: str, model: str, kept: Kept) -> Kept:
        """Keep a reply, and return the kept one: another process may have been first."""
        row = (question, kept.text, model, kept.prompt_tokens, kept.completion_tokens)
        table = self.caller.kept
        names = f"question, {table}, model, prompt_tokens, completion_tokens"
        insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 - names of our own
        self._do(lambda: self._connection.execute(insert, row))
        return self.get(question) or kept

    def drop(self, question: str) -> None:
        """Forget a question."""
        delete = f"DELETE FROM {self.caller.kept} WHERE question = ?"  # noqa: S608 - a name of our own
        self._do(lambda: self._connection.execute(delete, (question,)))

    def __len__(self) -> int:
        count = f"SELECT count(*) FROM {self.caller.kept}"  # noqa: S608 - a name of our own
        return int(self._do(lambda: self._connection.execute(count).fetchone()[0]))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _do(self, action: Callable[[], T]) -> T:
        try:
            return _while_busy(action)()
        except sqlite3.Error as error:
            caller = self.caller
            raise caller.error(f"{caller.name}_cache: {self.path}: {error}; what it holds so far is kept") from error


@_while_busy
def _open(path: Path, caller: CallerSpec) -> sqlite3.Connection:
    # Autocommit: every statement is a transaction of its own, but for those between BEGIN and COMMIT.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path, caller)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, caller: CallerSpec) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        version = cursor.execute("PRAGMA user_version").fetchone()[0]
        owner = cursor.execute("PRAGMA application_id").fetchone()[0]
        is_empty = cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if is_empty and version == owner == 0:
            cursor.execute(_TABLE.format(kept=caller.kept))
            cursor.execute(f"PRAGMA application_id = {caller.application_id}")
            cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            owner, version = caller.application_id, SCHEMA_VERSION
        cursor.execute("COMMIT")
    if (owner, version) != (caller.application_id, SCHEMA_VERSION):
        found = f"a cache of version {version}" if owner == caller.application_id else "a database of another program"
        name = f"{caller.name}_cache"
        raise caller.error(f"{name}: {path}: expected a cache of version {SCHEMA_VERSION}, found {found}; {_HINT}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut the last moment
