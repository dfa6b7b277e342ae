"""Writes a folder atomically: it appears completely or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.files.locks import held
from stages.errors import StageError
from stages.provenance.export_mark import is_export


@contextmanager
def drafted(to: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder beside `to`. After success it replaces `to`; after an error it is removed.

    Args:
        to: the final folder.
        overwrite: replace an earlier export; a folder with other content is still an error.

    Raises:
        StageError: the folder exists already and may not be replaced.
        LockedError: another process exports to the same folder.
    """
    with held(to):
        refuse_what_is_in_the_way(to, overwrite=overwrite)
        draft, old = (to.with_name(f".{to.name}.{suffix}") for suffix in ("draft", "old"))
        for leftover in (draft, old):  # left by a killed run
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
        StageError: it is a file, or holds anything else than an earlier export that may be replaced.
    """
    if to.exists() and not to.is_dir():
        raise StageError(f"{to}: is a file; name a new folder, or an empty one")
    found = sorted(path.name for path in to.iterdir()) if to.is_dir() else []
    if not found:
        return
    if not is_export(to):
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise StageError(f"{to}: is not empty and not an earlier export ({shown}); name another folder")
    if not overwrite:
        raise StageError(f"{to}: holds an earlier export; give --overwrite to replace it")
