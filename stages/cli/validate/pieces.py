"""Reads the inputs of `tritrace validate` (files, patterns, standard input) as pieces of one record each.

JSON Lines are read line by line; only the beginning of an overlong line is read. A `.json` or raw text file is one
document and is read as a whole. `stages/cli/validate/records.py` parses the pieces.
"""

import glob
import json
import os
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from data.checks.lines import bounded_lines, too_long
from data.files.text import NotTextError, refuse_wide, text_of
from protocol.errors import UserError

STANDARD_INPUT = "-"
_BLANKS = re.compile(r"[ \t\r\n]*")
SizedLine = tuple[bytes, int]
"""A line, or the beginning of an overlong one, and its number of bytes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one record in a file."""

    source: str
    """The file, or "-"."""
    line: int
    """Line where it begins, from 1."""
    column: int
    """Column where it begins, from 1, in code points."""
    content: bytes
    is_raw: bool = False
    """Whether it is a plain response, and not a JSON object with a response."""


@dataclass(frozen=True, slots=True)
class UnreadablePiece:
    """The place of a record that could not be read, and the reason."""

    source: str
    line: int
    column: int
    reason: str


def expand(arguments: Iterable[str]) -> list[str]:
    """Return the files of the arguments, each once; patterns such as `runs/**/*.jsonl` are expanded.

    Raises:
        UserError: a pattern matches no file. A name that is not a pattern is kept, even if the file does not exist.
    """
    found: list[str] = []
    empty = []
    for argument in arguments:
        if not glob.has_magic(argument) or Path(argument).exists():
            found.append(argument)
            continue
        paths = glob.iglob(argument, recursive=True)  # noqa: PTH207 - unlike Path.glob takes absolute patterns
        matches = sorted(path for path in paths if not Path(path).is_dir())
        found += matches
        empty += [] if matches else [f"no file matches {argument!r}"]
    if empty:
        hint = f"hint: patterns are relative to {Path.cwd()}; ** stands for any folders, and hidden ones are left out"
        raise UserError("\n".join([*empty, hint]))
    return list(dict.fromkeys(found))


def num_bytes(sources: Iterable[str]) -> int | None:
    """Return the total size of the sources; None if one is a stream or does not exist."""
    total = 0
    for source in sources:
        try:
            status = Path(source).stat()
        except OSError:
            return None
        if not S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total


def read_pieces(source: str) -> Iterator[Piece | UnreadablePiece]:
    """Yield the records of a source; its file ending decides the format. An unreadable record ends the source.

    A stream (standard input, a pipe) has no ending: it is JSON Lines if its first line begins a JSON object, and one
    raw response otherwise.
    """
    try:
        if source == STANDARD_INPUT:
            yield from _from_stream(source, bounded_lines(sys.stdin.buffer))
            return
        with Path(source).open("rb") as file:
            if source.endswith((".jsonl", ".ndjson", ".json")):
                refuse_wide(file.peek(4)[:4], "the file")
            if source.endswith((".jsonl", ".ndjson")):
                yield from _from_lines(source, bounded_lines(file))
            elif source.endswith(".json"):
                yield from _from_document(source, file.read())
            elif S_ISREG(os.fstat(file.fileno()).st_mode):
                yield Piece(source, 1, 1, file.read(), is_raw=True)
            else:
                yield from _from_stream(source, bounded_lines(file))
    except NotTextError as error:
        yield UnreadablePiece(source, 1, 1, str(error))
    except IsADirectoryError:
        yield UnreadablePiece(source, 1, 1, f"Is a directory; give its files, such as '{source}/**/*.jsonl'")
    except OSError as error:
        yield UnreadablePiece(source, 1, 1, error.strerror or str(error))


def not_json(error: ValueError | RecursionError, piece: Piece) -> UnreadablePiece:
    """Return the error of the JSON parser, with its position in the file instead of in the piece."""
    if not isinstance(error, json.JSONDecodeError):
        return UnreadablePiece(piece.source, piece.line, piece.column, f"not JSON: {error}")
    column = error.colno + (piece.column - 1 if error.lineno == 1 else 0)
    line = piece.line + error.lineno - 1
    return UnreadablePiece(piece.source, line, column, f"not JSON: {error.msg}, at column {column}")


def _from_stream(source: str, lines: Iterable[SizedLine]) -> Iterator[Piece | UnreadablePiece]:
    lines, blank = iter(lines), []
    line, num_bytes = b"", 0
    for line, num_bytes in lines:
        if line.strip():
            break
        blank.append((line, num_bytes))
    if line.removeprefix(BOM_UTF8).lstrip().startswith(b"{"):
        yield from _from_lines(source, [*blank, (line, num_bytes)])
        yield from _from_lines(source, lines, first=len(blank) + 2)
    else:
        yield _raw(source, [*blank, (line, num_bytes), *lines] if line.strip() else blank)


def _raw(source: str, lines: Iterable[SizedLine]) -> Piece | UnreadablePiece:
    """Return a stream as one raw response."""
    parts = []
    for number, (line, num_bytes) in enumerate(lines, start=1):
        if num_bytes > len(line):
            return UnreadablePiece(source, number, 1, too_long(num_bytes))
        parts.append(line)
    return Piece(source, 1, 1, b"".join(parts), is_raw=True)


def _from_lines(source: str, lines: Iterable[SizedLine], first: int = 1) -> Iterator[Piece | UnreadablePiece]:
    for number, (line, num_bytes) in enumerate(lines, start=first):
        if num_bytes > len(line):
            yield UnreadablePiece(source, number, 1, too_long(num_bytes))
        elif line.strip():
            yield Piece(source, number, 1, line)


def _from_document(source: str, content: bytes) -> Iterator[Piece | UnreadablePiece]:
    """Yield one JSON object, or the items of a list, each with its position."""
    if not content.removeprefix(BOM_UTF8).lstrip().startswith(b"["):
        yield Piece(source, 1, 1, content)
        return
    line, column, counted = 1, 1, 0
    try:
        text = text_of(content)
        for start, end in _items(text):
            newlines, last = text.count("\n", counted, start), text.rfind("\n", counted, start)
            line, column = line + newlines, start - last if newlines else column + start - counted
            counted = start
            yield Piece(source, line, column, text[start:end].encode())
    except NotTextError as error:
        yield UnreadablePiece(source, 1, 1, str(error))
    except (ValueError, RecursionError) as error:
        yield not_json(error, Piece(source, 1, 1, content))


def _items(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each item of a JSON list.

    `data.sources.reading.json_stream` does not serve here: it yields decoded values, to read large files in little
    memory. A diagnostic needs the exact text of an item with its line and column, and `validate` reads a document
    whole.

    Raises:
        json.JSONDecodeError: the text is not a valid list; the items before the error were yielded.
    """
    decoder, place = json.JSONDecoder(), _after_blanks(text, text.index("[") + 1)
    has_more = not text.startswith("]", place)
    while has_more:
        _, end = decoder.raw_decode(text, place)
        yield place, end
        place = _after_blanks(text, end)
        has_more = text.startswith(",", place)
        place = _after_blanks(text, place + 1) if has_more else place
    if not text.startswith("]", place):
        raise json.JSONDecodeError("Expecting ',' or ']'", text, place)
    if (rest := _after_blanks(text, place + 1)) != len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _after_blanks(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    return blanks.end() if blanks else start
