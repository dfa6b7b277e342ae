"""The audit log of a guard: JSON Lines, each line chained to the one before by its hash.

A record names the hash of the line before (`previous`) and ends with its own (`hash`), which is over the bytes of its
line up to there. So a line that is changed in any byte, removed, added or moved breaks the chain; `verify` says where.
What a file cannot tell by itself is that its end was cut off: keep the last hash elsewhere and give it to `verify`.
Whoever may write the file could also write a whole new chain; a secret key (`TRITRACE_AUDIT_KEY`) makes the hashes
HMACs that only its holder can make.

A line that was cut off while it was written, by a full disk or a crash, was never acknowledged. The next append cuts it
away and writes down that it did.

Texts and pictures stand in it as SHA-256 hashes unless their words are asked for: a log should not be one more place
where people's questions lie about.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from eval.guard.audit_lines import (
    END,
    END_LENGTH,
    OWN,
    START,
    after_newline,
    digest_of,
    older_digest_of,
    record_of,
    slice_of,
)
from protocol.errors import UserError

KEY_VARIABLE = "TRITRACE_AUDIT_KEY"
FIRST = "0" * 64
"""What the first record names as the hash before it."""


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
            AuditError: it cannot be opened, its last line is no record, or the key is empty.
        """
        self.path = path
        self._key = _key(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                _lock(file)
                _last_record(file, path)
        except OSError as error:
            raise AuditError(f"{path}: {error.strerror or error}") from None

    def append(self, entry: Mapping[str, Any]) -> str:
        """Write a record, to the disk, and return its hash.

        Args:
            entry: JSON values by name; number, time and hashes are added.

        Raises:
            AuditError: it could not be written, or the file is no log. Nothing of the record is left in the log.
        """
        try:
            with self.path.open("a+b") as file:
                _lock(file)
                last, torn = _last_record(file, self.path)
                if torn:
                    file.truncate(file.seek(0, os.SEEK_END) - len(torn))
                    lost = {"event": "a line that was cut off while it was written was removed", "bytes": len(torn)}
                    last = self._write(file, last, {**lost, "sha256": hashlib.sha256(torn).hexdigest()})
                return self._write(file, last, entry).digest
        except OSError as error:
            raise AuditError(f"{self.path}: {error.strerror or error}") from None

    def chain(self) -> Chain:
        """Return how many records the log has, and the last one's hash: keep it elsewhere.

        Raises:
            AuditError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                last, _ = _last_record(file, self.path)
        except OSError as error:
            raise AuditError(f"{self.path}: {error.strerror or error}") from None
        return Chain(last.number, last.digest)

    def _write(self, file: BinaryIO, last: "_Last", entry: Mapping[str, Any]) -> "_Last":
        number = last.number + 1
        record = {
            "number": number,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **{name: value for name, value in entry.items() if name not in OWN},
            "previous": last.digest,
        }
        content = json.dumps(record, ensure_ascii=True).encode()[:-1]
        digest = digest_of(content, self._key)
        end = file.seek(0, os.SEEK_END)
        try:
            file.write(content + b', "hash": "' + digest.encode() + b'"}\n')
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            _cut_back(self.path, end)  # through another handle: this one may hold what it could not write
            raise
        return _Last(number, digest)


@dataclass(frozen=True, slots=True)
class _Last:
    """The record that the next one is chained to."""

    number: int
    digest: str


def verify(path: Path, *, key: bytes | None = None, head: str | None = None) -> Chain:
    """Check a log from its first line to its last.

    Args:
        path: of the file.
        key: of the HMACs; None takes it from the environment.
        head: the last hash, where it was kept elsewhere.

    Raises:
        AuditError: it cannot be read, or a key is empty.
        BrokenChainError: it does not hold together, or does not end with `head`.
    """
    key = _key(key)
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
    record, end = record_of(line), END.search(line)
    if record is None or end is None:
        hint = "" if line.endswith(b"\n") else ": it was cut off while it was written; the next append removes it"
        raise BrokenChainError(f"{path}:{number}: not a record{hint}")
    if record["number"] != number or record["previous"] != previous:
        raise BrokenChainError(
            f"{path}:{number}: is record {record['number']} after {str(record['previous'])[:12]!r}, expected record"
            f" {number} after {previous[:12]!r}: a line before it was removed, added or moved"
        )
    digest = end[1].decode()
    if not hmac.compare_digest(digest, digest_of(line[: end.start()], key)) and digest != older_digest_of(
        line, record, key
    ):
        which = "changed, or written with another key" if key else "changed, or written with a key"
        raise BrokenChainError(f"{path}:{number}: does not have the hash that it states: it was {which}")
    return digest


def _last_record(file: BinaryIO, path: Path) -> tuple[_Last, bytes]:
    """Return the last whole record of an open log and what was cut off behind it.

    Only the ends of the record are read, so that appending does not depend on its size.

    Raises:
        AuditError: the file is no log.
    """
    end = file.seek(0, os.SEEK_END)
    whole = after_newline(file, end)
    torn = slice_of(file, whole, end)
    if whole == 0:
        # Nothing, or the first record cut off: its beginning is known.
        if torn and not (START.match(torn) or b'{"number": 1, "time": "'.startswith(torn)):
            raise AuditError(f"{path}: is no audit log, so nothing can be chained to it; begin another log")
        return _Last(0, FIRST), torn
    start = after_newline(file, whole - 1)
    head = START.match(slice_of(file, start, min(whole, start + 64)))
    tail = END.search(slice_of(file, max(start, whole - END_LENGTH), whole))
    if head is None or tail is None:
        raise AuditError(f"{path}: its last line is no record, so nothing can be chained to it; begin another log")
    return _Last(int(head[1]), tail[1].decode()), torn


def _cut_back(path: Path, size: int) -> None:
    """Take away what was half written; where even that fails, the next append does it."""
    with suppress(OSError):
        os.truncate(path, size)


def _lock(file: BinaryIO) -> None:
    """Keep other processes from appending until the file is closed; on Windows one process a log has to do."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _key(given: bytes | None) -> bytes | None:
    """Return the key that was given, or that of the environment; None where there is none.

    Raises:
        AuditError: it is empty, which would be no key without a word.
    """
    key = given if given is not None else os.environ.get(KEY_VARIABLE, None)
    if key is None:
        return None
    if not key:
        raise AuditError(f"{KEY_VARIABLE} is set and empty; give it a secret, or unset it for hashes without a key")
    return key if isinstance(key, bytes) else key.encode(errors="surrogateescape")
