"""A folder that appears whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.locks import held
from stages.errors import StageError

MARK = "export.json"
"""The file by which an export is known as one."""


@contextmanager
def drafted(to: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a draft folder beside `to`, which takes its place when the block ends well and vanishes when it does not.

    Args:
        to: where the folder goes.
        overwrite: replace an earlier export there; a folder with anything else in it is refused all the same.

    Raises:
        StageError: something is in the way.
        LockedError: another process exports there.
    """
    with held(to):
        refuse_what_is_in_the_way(to, overwrite=overwrite)
        draft, old = (to.with_name(f".{to.name}.{suffix}") for suffix in ("draft", "old"))
        for leftover in (draft, old):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            if to.exists():
                to.replace(old)
            draft.replace(to)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)


def refuse_what_is_in_the_way(to: Path, *, overwrite: bool) -> None:
    """Check that a folder can be written.

    Raises:
        StageError: it is a file, or holds something that is not an earlier export to be replaced.
    """
    if to.exists() and not to.is_dir():
        raise StageError(f"{to}: is a file; name a folder that is not there, or an empty one")
    found = sorted(path.name for path in to.iterdir()) if to.is_dir() else []
    if not found:
        return
    if not is_export(to):
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise StageError(f"{to}: is not empty and no earlier export ({shown}); name another folder")
    if not overwrite:
        raise StageError(f"{to}: holds an earlier export; give --overwrite to replace it")


def read_mark(folder: Path) -> dict[str, Any] | None:
    """Return what an export says of itself; None for no export."""
    try:
        record = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "tritrace_export" in record else None


def exported_files(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of an export's files by name; {} of one that was written before; None for no export."""
    record = read_mark(folder)
    files = None if record is None else record.get("files", {})
    if not isinstance(files, dict):
        return None
    return {str(name): str(digest) for name, digest in files.items()}


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `tritrace export`."""
    return exported_files(folder) is not None
