"""The files of an import, and how it goes on after it was stopped.

Beside OUTPUT stand, while it runs, `OUTPUT.partial` and `OUTPUT.progress.json`; afterwards `OUTPUT.skipped.jsonl` (a
line for each record that is left out: where and why) and `OUTPUT.import.json` (counts, licence, citation).

A progress file says how many records are done and how long the partial files were then. Going on cuts them to that
length and passes over that many records, so an import that was killed gives the same bytes as one that was not.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from data.files import numbered_lines, parse_object, read_json_object, replacing, row_from_json, row_to_json
from data.rows import Query
from data.sources.records import SourceError
from protocol.errors import UserError

Opened = tuple[IO[str], IO[str]]
"""The files of queries and of what is left out, open for appending."""


@dataclass(slots=True)
class Progress:
    """How far an import has come; what its report says in the end."""

    records: int = 0
    written: int = 0
    queries_bytes: int = 0
    skipped_bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason -> records or queries left out for it."""
    pictures: dict[str, int] = field(default_factory=dict)
    """What is done to pictures when they are shown -> how many were stored with it; ordinary ones are not counted."""

    def count(self, reason: str) -> None:
        """Count one more that is left out."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def num_skipped(self) -> int:
        """How many were left out, for whatever reason."""
        return sum(self.reasons.values())


class ImportFiles:
    """The output and what stands beside it."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._partial, self._skipped, self._progress, self._report = (
            output.with_name(f"{output.name}.{ending}")
            for ending in ("partial", "skipped.jsonl", "progress.json", "import.json")
        )

    def begin(self, fingerprint: dict[str, Any]) -> Progress:
        """Return how far the same import came before; nothing where it is new.

        Raises:
            SourceError: the output is there already, or another import is half done.
        """
        if self._output.exists():
            raise SourceError(f"{self._output}: is there already; delete it or choose another --output")
        if not self._progress.exists():
            return Progress()
        saved = read_json_object(self._progress)
        if saved.get("job") != fingerprint:
            hint = "hint: repeat that import's options to go on with it, or delete the file to begin anew"
            raise SourceError(f"{self._progress}: another import is half done here\n{hint}")
        progress = _progress_of(saved.get("progress"))
        if progress is None or not self._holds(progress):
            hint = f"hint: delete it and {self._partial} to begin anew"
            raise SourceError(f"{self._progress}: does not fit what is written beside it\n{hint}")
        return progress

    def _holds(self, progress: Progress) -> bool:
        """Whether the files are as long as they were; a shorter one would be filled up with zeros."""
        lengths = ((self._partial, progress.queries_bytes), (self._skipped, progress.skipped_bytes))
        return all((path.stat().st_size if path.is_file() else 0) >= length for path, length in lengths)

    def open(self, progress: Progress) -> "_Pair":
        """Return the files of queries and of what is left out, cut to where the progress was saved."""
        self._output.parent.mkdir(parents=True, exist_ok=True)
        return _Pair((self._partial, progress.queries_bytes), (self._skipped, progress.skipped_bytes))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield what is written, so that repetitions are found after an interruption too.

        Raises:
            SourceError: a line is no row; names it.
        """
        for number, line in numbered_lines(self._partial):
            try:
                yield row_to_json(row_from_json(parse_object(line), Query))
            except UserError as error:
                hint = f"hint: delete it and {self._progress} to begin anew"
                raise SourceError(f"{self._partial}:{number}: is damaged: {error}\n{hint}") from None

    def save(self, fingerprint: dict[str, Any], progress: Progress) -> None:
        """Write the progress down; `progress` says how long the other files are."""
        with replacing(self._progress) as file:
            json.dump({"job": fingerprint, "progress": asdict(progress)}, file, indent=1)

    def discard(self) -> None:
        """Remove the files of an import that failed."""
        for path in (self._partial, self._skipped, self._progress):
            path.unlink(missing_ok=True)

    def finish(self, report: dict[str, Any]) -> None:
        """Give the output its name, with the report beside it."""
        with replacing(self._report) as file:
            json.dump(report, file, indent=1, ensure_ascii=False)
        self._partial.replace(self._output)
        self._progress.unlink()
        with suppress(OSError):
            if not self._skipped.stat().st_size:
                self._skipped.unlink()


def _progress_of(record: object) -> Progress | None:
    """Return the progress that a file holds; None where it is damaged."""
    known = {each.name for each in fields(Progress)}
    if not isinstance(record, dict) or not set(record) <= known:
        return None
    counts = [each for name, each in record.items() if name not in {"reasons", "pictures"}]
    by_name = [record.get(name, {}) for name in ("reasons", "pictures")]
    if not all(isinstance(each, dict) for each in by_name):
        return None
    counts += [count for each in by_name for count in each.values()]
    is_sound = all(isinstance(count, int) and 0 <= count < 2**63 for count in counts)
    return Progress(**record) if is_sound else None


class _Pair:
    """Two text files opened for appending, each cut to a length first."""

    def __init__(self, *paths: tuple[Path, int]) -> None:
        self._paths = paths
        self._files: list[IO[str]] = []

    def __enter__(self) -> Opened:
        for path, length in self._paths:
            path.touch()
            os.truncate(path, length)
            self._files.append(path.open("a", encoding="utf-8"))
        return self._files[0], self._files[1]

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
