"""The audit log of a guard: JSON Lines, each line chained to the one before by its hash.

A record has the hash of the line before (`previous`) and of itself (`hash`, over all its other fields), so that a line
that is changed, removed, added or moved breaks the chain; `verify` says where. What a file cannot tell by itself is
that its end was cut off: keep the last hash elsewhere and give it to `verify`. Whoever may write the file could also
write a whole new chain; a secret key (`TRITRACE_AUDIT_KEY`) makes the hashes HMACs that only its holder can make.

Texts and pictures stand in it as SHA-256 hashes unless their words are asked for: a log should not be one more place
where people's questions lie about.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from protocol.errors import UserError

KEY_VARIABLE = "TRITRACE_AUDIT_KEY"
FIRST = "0" * 64
"""What the first record names as the hash before it."""
_BLOCK = 65_536


class AuditError(UserError):
    """The log cannot be written or read; nothing that could not be logged is released."""


class BrokenChainError(UserError):
    """The log is not what was written; the message names the first line that does not fit."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A log that holds together."""

    count: int
    """Records."""
    head: str
    """The last one's hash; `FIRST` where there is none."""


class AuditLog:
    """An audit log to append to; several processes may share it."""

    def __init__(self, path: Path, *, key: bytes | None = None) -> None:
        """Open the log, or make it.

        Args:
            path: of the file.
            key: of the HMACs; None takes it from the environment, and plain hashes where it is not set.

        Raises:
            AuditError: it cannot be opened, or its last line is no record.
        """
        self.path = path
        self._key = key if key is not None else _environment_key()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                _last_record(file, path)
        except OSError as error:
            raise AuditError(f"{path}: {error.strerror or error}") from None

    def append(self, entry: Mapping[str, Any]) -> str:
        """Write a record, to the disk, and return its hash.

        Args:
            entry: JSON values by name; number, time and hashes are added.

        Raises:
            AuditError: it could not be written, or the last line is no record.
        """
        try:
            with self.path.open("a+b") as file:
                _lock(file)
                last = _last_record(file, self.path)
                record = {
                    "number": last["number"] + 1 if last else 1,
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    **entry,
                    "previous": last["hash"] if last else FIRST,
                }
                record["hash"] = _digest(record, self._key)
                file.write(json.dumps(record, ensure_ascii=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AuditError(f"{self.path}: {error.strerror or error}") from None
        return str(record["hash"])


def verify(path: Path, *, key: bytes | None = None, head: str | None = None) -> Chain:
    """Check a log from its first line to its last.

    Args:
        path: of the file.
        key: of the HMACs; None takes it from the environment.
        head: the last hash, where it was kept elsewhere.

    Raises:
        AuditError: it cannot be read.
        BrokenChainError: it does not hold together, or does not end with `head`.
    """
    key = key if key is not None else _environment_key()
    count, previous = 0, FIRST
    try:
        with path.open("rb") as file:
            for count, line in enumerate(file, start=1):
                previous = _checked(line, count, previous, key, path)
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror or error}") from None
    if head is not None and head != previous:
        raise BrokenChainError(
            f"{path}: ends with {previous[:12]} after {count} records, and not with {head[:12]}: lines are missing at"
            " the end, or were added"
        )
    return Chain(count, previous)


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text, by which it can be recognised and not read."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _checked(line: bytes, number: int, previous: str, key: bytes | None, path: Path) -> str:
    """Return the hash of a line that fits."""
    record = _record(line)
    if record is None:
        raise BrokenChainError(f"{path}:{number}: not a record")
    if record["number"] != number or record["previous"] != previous:
        raise BrokenChainError(
            f"{path}:{number}: is record {record['number']} after {str(record['previous'])[:12]}, expected record"
            f" {number} after {previous[:12]}: a line before it was removed, added or moved"
        )
    if not hmac.compare_digest(str(record["hash"]), _digest(record, key)):
        which = "changed, or written with another key" if key else "changed, or written with a key"
        raise BrokenChainError(f"{path}:{number}: does not have the hash that it states: it was {which}")
    return str(record["hash"])


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not line.endswith(b"\n") or not isinstance(record, dict) or not {"number", "previous", "hash"} <= set(record):
        return None
    return record if isinstance(record["number"], int) else None


def _digest(record: Mapping[str, Any], key: bytes | None) -> str:
    fields = {name: value for name, value in record.items() if name != "hash"}
    content = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key, content, "sha256").hexdigest() if key else hashlib.sha256(content).hexdigest()


def _last_record(file: BinaryIO, path: Path) -> dict[str, Any] | None:
    """Return the last record of an open log, or None where there is none yet."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return None
    start, tail = end, b""
    while start and tail.count(b"\n") < 2:
        start = max(0, start - _BLOCK)
        file.seek(start)
        tail = file.read(end - start)
    record = _record(tail[tail.rfind(b"\n", 0, -1) + 1 :])
    if record is None:
        raise AuditError(f"{path}: its last line is no record, so nothing can be chained to it; begin another log")
    return record


def _lock(file: BinaryIO) -> None:
    """Keep other processes from appending until the file is closed; on Windows one process a log has to do."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _environment_key() -> bytes | None:
    return os.environ[KEY_VARIABLE].encode() if os.environ.get(KEY_VARIABLE) else None
