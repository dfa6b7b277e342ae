"""The files of an import, and how an interrupted import continues.

During an import, `OUTPUT.partial` and `OUTPUT.progress.json` stand beside OUTPUT. Afterwards there are
`OUTPUT.skipped.jsonl` (a line for each record that was left out: where and why) and `OUTPUT.import.json` (counts,
licence, citation).

A progress file holds the number of finished records, and the lengths of the partial files at that time. To continue,
the files are cut to these lengths and that many records are skipped. So an import that was killed gives the same bytes
as one that was not.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from data.files.json_lines import numbered_lines, parse_object, read_json_object, replacing, row_from_json, row_to_json
from data.rows import Query
from data.sources.reading.records import SourceError
from protocol.errors import UserError

Opened = tuple[IO[str], IO[str]]
"""The open files of queries and of records that were left out."""


@dataclass(slots=True)
class ImportProgress:
    """Counts of an import so far; its report contains the final ones."""

    records: int = 0
    written: int = 0
    queries_bytes: int = 0
    skipped_bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason -> number of records or queries that were left out for it."""
    pictures: dict[str, int] = field(default_factory=dict)
    """Conversion that a picture needs -> number of such pictures; pictures without conversion are not counted."""

    def count(self, reason: str) -> None:
        """Count one more record that was left out."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def num_skipped(self) -> int:
        """Number of records that were left out, for any reason."""
        return sum(self.reasons.values())


class ImportFiles:
    """The output file and the files beside it."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._partial, self._skipped, self._progress, self._report = (
            output.with_name(f"{output.name}.{ending}")
            for ending in ("partial", "skipped.jsonl", "progress.json", "import.json")
        )

    def begin(self, fingerprint: dict[str, Any]) -> ImportProgress:
        """Return the progress of an earlier, interrupted run of the same import; empty progress for a new import.

        Raises:
            SourceError: the output already exists, or another import is unfinished here.
        """
        if self._output.exists():
            raise SourceError(f"{self._output}: already exists; delete it or choose another --output")
        if not self._progress.exists():
            return ImportProgress()
        saved = read_json_object(self._progress)
        if saved.get("job") != fingerprint:
            hint = "hint: give the options of that import to continue it, or delete the file to start again"
            raise SourceError(f"{self._progress}: another import is unfinished here\n{hint}")
        progress = _progress_of(saved.get("progress"))
        if progress is None or not self._holds(progress):
            hint = f"hint: delete it and {self._partial} to start again"
            raise SourceError(f"{self._progress}: does not match the files beside it\n{hint}")
        return progress

    def _holds(self, progress: ImportProgress) -> bool:
        """Whether the files are at least as long as the progress says; a shorter one would be padded with zeros."""
        lengths = ((self._partial, progress.queries_bytes), (self._skipped, progress.skipped_bytes))
        return all((path.stat().st_size if path.is_file() else 0) >= length for path, length in lengths)

    def open(self, progress: ImportProgress) -> "_Pair":
        """Return the files of queries and of left-out records, cut to their lengths at the last save."""
        self._output.parent.mkdir(parents=True, exist_ok=True)
        return _Pair((self._partial, progress.queries_bytes), (self._skipped, progress.skipped_bytes))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows that are already written; a continued import finds duplicates with them.

        Raises:
            SourceError: a line is not a row; the message names the line.
        """
        for number, line in numbered_lines(self._partial):
            try:
                yield row_to_json(row_from_json(parse_object(line), Query))
            except UserError as error:
                hint = f"hint: delete it and {self._progress} to start again"
                raise SourceError(f"{self._partial}:{number}: is damaged: {error}\n{hint}") from None

    def save(self, fingerprint: dict[str, Any], progress: ImportProgress) -> None:
        """Save the progress, with the lengths of the other files."""
        with replacing(self._progress) as file:
            json.dump({"job": fingerprint, "progress": asdict(progress)}, file, indent=1)

    def discard(self) -> None:
        """Remove the files of an import that failed."""
        for path in (self._partial, self._skipped, self._progress):
            path.unlink(missing_ok=True)

    def finish(self, report: dict[str, Any]) -> None:
        """Write the report and give the output its final name."""
        with replacing(self._report) as file:
            json.dump(report, file, indent=1, ensure_ascii=False)
        self._partial.replace(self._output)
        self._progress.unlink()
        with suppress(OSError):
            if not self._skipped.stat().st_size:
                self._skipped.unlink()


def _progress_of(record: object) -> ImportProgress | None:
    """Return the progress in a file; None if the file is damaged."""
    known = {each.name for each in fields(ImportProgress)}
    if not isinstance(record, dict) or not set(record) <= known:
        return None
    counts = [each for name, each in record.items() if name not in {"reasons", "pictures"}]
    by_name = [record.get(name, {}) for name in ("reasons", "pictures")]
    if not all(isinstance(each, dict) for each in by_name):
        return None
    counts += [count for each in by_name for count in each.values()]
    is_sound = all(isinstance(count, int) and 0 <= count < 2**63 for count in counts)
    return ImportProgress(**record) if is_sound else None


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
