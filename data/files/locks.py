"""Keeping two processes from writing the same thing: a folder, a file or a store.

A lock is a file beside the guarded place. The operating system holds it as long as the process lives, and the file
names the process. A second process gets an error at once, or waits as long as the caller allows.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from protocol.errors import UserError

_POLL_SECONDS = 0.05
_MAX_WORDS = 3
"""The part of a command that a lock shows: its name. Flags may hold secrets."""


class LockedError(UserError):
    """Another process is writing there; the message names it."""


@contextmanager
def held(place: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Keep other processes from holding the same place until the block ends.

    Args:
        place: a folder or a file; it need not exist yet. Its parent folder is made.
        wait_seconds: how long to wait for another process.

    Raises:
        LockedError: another process holds it.
        OSError: the lock cannot be written, such as in a folder that is read-only.
    """
    place = place.resolve()
    path = place.with_name(f".{place.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_seconds, poll_interval=_POLL_SECONDS)
    except Timeout:
        raise LockedError(f"{place}: is being written by {_holder(path)}; wait until it has ended") from None
    try:
        path.write_text(json.dumps(_ourselves()), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):  # while it is held: a lock on a file that is gone is taken anew
            path.unlink()
        lock.release()


def _ourselves() -> dict[str, str | int]:
    words = [word for word in sys.argv[1:] if not word.startswith("-")][: _MAX_WORDS - 1]
    command = " ".join([Path(sys.argv[0]).name, *(word for word in words if word.replace("-", "").isalpha())])
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "command": command, "since": since}


def _holder(path: Path) -> str:
    """Return who holds a lock, in words; the file may be half written."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return "process {process} on {host} ({command}, since {since})".format(**said)
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
