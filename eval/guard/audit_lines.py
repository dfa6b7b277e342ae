"""One line of an audit log as bytes: how it begins and ends, what its hash is over, and finding it in a long file."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

_BLOCK = 65_536
START = re.compile(rb'\{"number": (\d{1,18}), "time": "')
END = re.compile(rb', "hash": "([0-9a-f]{64})"\}\n$')
OWN = frozenset({"number", "time", "previous", "hash"})
END_LENGTH = len(', "hash": "') + 64 + len('"}\n')


def record_of(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; a name that stands in it twice makes it no record."""
    if not START.match(line):  # neither a byte order mark nor a blank before it
        return None
    try:
        record = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and set(record) >= OWN else None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return record


def digest_of(content: bytes, key: bytes | None) -> str:
    """Return the hash of what stands before it in a line: an HMAC where there is a key."""
    return hmac.new(key, content, "sha256").hexdigest() if key else hashlib.sha256(content).hexdigest()


def older_digest_of(line: bytes, record: Mapping[str, Any], key: bytes | None) -> str | None:
    """Return the hash that a line has in logs of before: over its values by name; None where its bytes are not ours."""
    if json.dumps(record, ensure_ascii=True).encode() + b"\n" != line:
        return None
    fields = {name: value for name, value in record.items() if name != "hash"}
    return digest_of(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode(), key)


def after_newline(file: BinaryIO, end: int) -> int:
    """Return the place behind the last line end before a place, or 0; reads backwards a block at a time."""
    while end > 0:
        start = max(0, end - _BLOCK)
        found = slice_of(file, start, end).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def slice_of(file: BinaryIO, start: int, end: int) -> bytes:
    """Return the bytes between two places."""
    file.seek(start)
    return file.read(end - start)
