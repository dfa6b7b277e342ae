"""Reads records from local files: Parquet, JSON Lines, JSON, CSV and TSV, folders of such files, folders of pictures.

Reads one record at a time, whatever the size of the file. A record that cannot be read is an `Unreadable` with its
place. Reading stops there only if the start of the next record is unknown (broken JSON, Parquet or CSV syntax).
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from data.files.text import NotTextError, refuse_surrogates, refuse_wide, text_of
from data.sources.reading.json_stream import JsonError, JsonStream
from data.sources.reading.records import Record, SourceError, Unreadable

MAX_LINE = 1 << 24
"""Limit for a line of JSON Lines in bytes, and for a CSV field in characters."""
MAX_ROW = 1 << 27
"""Limit for an unpacked row of a Parquet file, in bytes: room for some pictures of the largest size."""
_BATCH = 64
_IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_REPLACEMENT = "\ufffd"

Found = Iterator[Record | Unreadable]


def read_local(path: Path, split: str) -> Found:
    """Yield the records of a file or folder.

    A folder stands for its data files, sorted by name; if some are named after the split, only for these. A folder
    without data files stands for its `metadata.jsonl` or `metadata.csv`. Without these, each picture is a record with
    the columns `file_name` and `label` (the name of its folder).

    Raises:
        SourceError: there is nothing to read.
    """
    for file in data_files(path, split):
        if file.is_dir():
            yield from _read_pictures(file, split)
            continue
        if _ending(file) != ".parquet":
            _refuse_other_encodings(file)
        yield from _readers[_ending(file)](file, split)


def _refuse_other_encodings(path: Path) -> None:
    """Reject a file whose encoding is not UTF-8, and name the encoding."""
    try:
        with path.open("rb") as file:
            refuse_wide(file.read(4), str(path))
    except NotTextError as error:
        raise SourceError(str(error)) from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None


def data_files(path: Path, split: str) -> list[Path]:
    """Return the data files of a path; a folder of pictures is returned itself.

    Raises:
        SourceError: there is nothing to read.
    """
    if path.is_file():
        if _ending(path) not in _readers:
            raise SourceError(f"{path}: expected one of {', '.join(_readers)}, or a folder")
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path}: no such file or folder")
    files = sorted(each for each in path.iterdir() if each.is_file() and _ending(each) in _readers)
    metadata = [each for each in files if each.stem == "metadata"]
    named = [each for each in files if split and re.search(rf"(^|[-_.]){re.escape(split)}($|[-_.])", each.stem)]
    if found := metadata or named or files:
        return found
    if any(each.suffix.lower() in _IMAGES for each in path.rglob("*")):
        return [path]
    raise SourceError(f"{path}: holds neither data files ({', '.join(_readers)}) nor pictures")


def _ending(path: Path) -> str:
    return path.suffix.lower()


def _read_lines(path: Path, split: str) -> Found:
    with path.open("rb") as file:
        number, kept = 0, 0
        while line := file.readline(MAX_LINE):
            number += 1
            where = f"{path}:{number}"
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                _skip_line(file)
                yield Unreadable(where, f"the line is longer than {MAX_LINE:,} bytes")
            elif line.strip():
                yield _parsed_line(line, where, path.stem, str(kept), split)
                kept += 1


def _skip_line(file: IO[bytes]) -> None:
    while (piece := file.readline(MAX_LINE)) and not piece.endswith(b"\n"):
        pass


def _parsed_line(line: bytes, where: str, stem: str, key: str, split: str) -> Record | Unreadable:
    try:
        value = json.loads(text_of(line))
    except NotTextError as error:
        return Unreadable(where, str(error))
    except (ValueError, RecursionError) as error:
        return Unreadable(where, f"not JSON: {error}")
    return _record(value, where, file=stem, key=key, split=split)


def _record(value: Any, where: str, **place: str) -> Record | Unreadable:
    if not isinstance(value, dict):
        return Unreadable(where, f"expected an object, found {type(value).__name__}")
    try:
        refuse_surrogates(value)
    except NotTextError as error:
        return Unreadable(where, str(error))
    return Record(value, where, **place)


def _read_json(path: Path, split: str) -> Found:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        stream = JsonStream(file)
        try:
            for item in stream.items():
                place = {"file": path.stem, "key": item.key, "section": item.section, "split": split}
                yield _record(item.value, f"{path}:{item.line}", **place)
        except JsonError as error:
            yield Unreadable(f"{path}:{stream.line}", f"{error}; the rest of the file cannot be read")


def _read_table(path: Path, split: str) -> Found:
    limit = csv.field_size_limit(MAX_LINE)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file, delimiter=_delimiter(path), strict=True)
            yield from _table_rows(table, path, split)
    finally:
        csv.field_size_limit(limit)


def _delimiter(path: Path) -> str:
    """Return the delimiter of a table.

    Raises:
        SourceError: the header of a .csv file has other delimiters and no comma.
    """
    if _ending(path) == ".tsv":
        return "\t"
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        header = file.readline(MAX_LINE)
    others = {name: header.count(mark) for name, mark in (("semicolons", ";"), ("tabs", "\t"), ("bars", "|"))}
    found = max(others, key=lambda name: others[name])
    if "," not in header and others[found]:
        hint = "name it .tsv" if found == "tabs" else "write it with commas"
        raise SourceError(f"{path}:1: expected fields between commas, found {found}: {header.strip()[:80]!r}; {hint}")
    return ","


def _table_rows(table: "csv.DictReader[str]", path: Path, split: str) -> Found:
    number = 0
    while True:
        start = table.line_num + 1
        try:
            row = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unreadable(f"{path}:{start}", f"not CSV: {error}; the rest of the file cannot be read")
            return
        where = f"{path}:{max(start, 2)}"
        if None in row or None in row.values():
            num_expected = len(table.fieldnames or ())
            yield Unreadable(where, f"expected {num_expected} fields, as in the header; found another number")
        else:
            yield _record(row, where, file=path.stem, key=str(number), split=split)
        number += 1


def _read_parquet(path: Path, split: str) -> Found:
    arrow, parquet = pyarrow()
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for group in range(table.metadata.num_row_groups):
                size = _rows_at_a_time(table.metadata.row_group(group))
                for batch in table.iter_batches(batch_size=size, row_groups=[group]):
                    yield from _parquet_rows(batch, path, number, split)
                    number += batch.num_rows
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        yield Unreadable(f"{path}: row {number}", f"not Parquet: {reason}; the rest of the file cannot be read")


def _parquet_rows(batch: Any, path: Path, first: int, split: str) -> Found:
    if batch.nbytes > MAX_ROW * batch.num_rows:
        for number in range(first, first + batch.num_rows):
            yield Unreadable(f"{path}: row {number}", f"unpacks to more than {MAX_ROW:,} bytes")
        return
    for number, row in enumerate(batch.to_pylist(), start=first):
        place = {"file": path.stem, "key": str(number), "split": split}
        yield _record(row, f"{path}: row {number}", **place)


def _rows_at_a_time(group: Any) -> int:
    """Return how many rows of a group are unpacked at once, so that a small file cannot fill the memory.

    Rows may share a value through a dictionary. Unpacked, each row has its own copy, and the largest value can be as
    long as the whole column.
    """
    columns = [group.column(place) for place in range(group.num_columns)]
    largest: int = sum(
        column.total_uncompressed_size
        if column.has_dictionary_page
        else column.total_uncompressed_size // max(group.num_rows, 1)
        for column in columns
    )
    return max(1, min(_BATCH, MAX_ROW // max(largest, 1)))


def _read_pictures(path: Path, split: str) -> Found:
    pictures = sorted(each for each in path.rglob("*") if each.suffix.lower() in _IMAGES)
    for number, each in enumerate(pictures):
        name = each.relative_to(path).as_posix()
        values = {"file_name": name, "label": each.parent.name if each.parent != path else ""}
        yield Record(values, str(each), file=path.name, key=str(number), split=split)


def pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        SourceError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise SourceError("Parquet needs pyarrow; install it with: pip install 'tritrace[data]'") from None
    return pa, parquet


def is_damaged(value: Any) -> bool:
    """Return whether a text contains U+FFFD, the replacement for a character that a program could not decode."""
    return isinstance(value, str) and _REPLACEMENT in value


_readers: dict[str, Callable[[Path, str], Found]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
    ".csv": _read_table,
    ".tsv": _read_table,
}
