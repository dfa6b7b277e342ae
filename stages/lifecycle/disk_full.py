"""Detects a full disk, in all forms in which libraries report it, so that a stage can end cleanly."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

EXIT_CODE = 75
"""`EX_TEMPFAIL` of sysexits.h: the same command may succeed later."""
_WORDS = ("no space left on device", "disk quota exceeded", "database or disk is full")
_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
NEARLY_FULL = 2**20
"""If a writer of torch fails without a reason and fewer bytes than this are free, the disk is full."""


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether an error, or what caused it, says that a disk is full.

    Args:
        error: what was raised.
        folder: folder of the output; its free space decides if the error gives no reason.
    """
    for each in causes(error):
        if isinstance(each, OSError) and each.errno in _ERRNOS:
            return True
        text = str(each).casefold()
        if any(words in text for words in _WORDS):
            return True
        # torch's writer reports "file write failed" or "unexpected pos" without the reason.
        if isinstance(each, RuntimeError) and ("write failed" in text or "unexpected pos" in text):
            return free_bytes(folder) < NEARLY_FULL
    return False


def free_bytes(folder: Path) -> int:
    """Return the free space at a folder, which need not exist yet."""
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(place).free


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of the cause, and so on."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
