"""Reads the row files of a data folder. The first line of a file tells its row type; rows are read one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files.json_lines import RowsError, numbered_lines, parse_object, row_from_json
from data.rows import PreferencePair, Query, RolloutPrompt, Row, SFTRow
from protocol.labels import LabelsError

_TYPE_BY_COLUMN: dict[str, type[Any]] = {
    "completion": SFTRow,
    "chosen": PreferencePair,
    "plan": RolloutPrompt,
    "text": Query,
}


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows of one type."""

    path: Path
    row_type: type[Any]

    @property
    def name(self) -> str:
        """The file's name without its ending, such as "sft"."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is left out."""

    where: str
    reason: str

    def __str__(self) -> str:
        """Return "where: reason"."""
        return f"{self.where}: {self.reason}"


def row_files(folder: Path) -> list[RowFile]:
    """Return the row files of a folder, sorted by name; other JSON Lines files are skipped.

    Raises:
        RowsError: there are none.
    """
    found = [RowFile(path, each) for path in sorted(folder.glob("*.jsonl")) if (each := _row_type(path))]
    if not found:
        raise RowsError(f"{folder}: holds no row files; `tritrace data build` and `tritrace data import` write some")
    return found


def _row_type(path: Path) -> type[Any] | None:
    for _, line in numbered_lines(path):
        try:
            record = parse_object(line)
        except RowsError:
            return None
        columns = record if "id" in record else {}
        return next((each for column, each in _TYPE_BY_COLUMN.items() if column in columns), None)
    return None


def rows_of(file: RowFile) -> Iterator[Row | BadRow]:
    """Yield the rows of a file; for each bad line, yield the reason instead."""
    for number, line in numbered_lines(file.path):
        where = f"{file.path}:{number}"
        try:
            yield row_from_json(parse_object(line), file.row_type)
        except (RowsError, LabelsError) as error:
            yield BadRow(where, str(error))
