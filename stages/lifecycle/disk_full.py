"""Telling a full disk from other failures, however the libraries report it, so that a stage can end cleanly on it."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

EXIT_CODE = 75
"""`EX_TEMPFAIL` of sysexits.h: the same command may well succeed later."""
_WORDS = ("no space left on device", "disk quota exceeded", "database or disk is full")
_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
NEARLY_FULL = 2**20
"""Fewer free bytes than this, and a writer of torch that fails without a reason has failed for want of room."""


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether an error, or what caused it, says that a disk is full.

    Args:
        error: what was raised.
        folder: where was written to, asked for its free space when the error gives no reason.
    """
    for each in causes(error):
        if isinstance(each, OSError) and each.errno in _ERRNOS:
            return True
        text = str(each).casefold()
        if any(words in text for words in _WORDS):
            return True
        # torch's writer says "file write failed" or "unexpected pos" and drops the reason.
        if isinstance(each, RuntimeError) and ("write failed" in text or "unexpected pos" in text):
            return free_bytes(folder) < NEARLY_FULL
    return False


def free_bytes(folder: Path) -> int:
    """Return the free space where a folder is, or would be."""
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(place).free


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what caused it, and so on."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
