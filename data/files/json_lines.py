"""Rows on disk: JSON Lines, an object a line. A file is written as a whole or not at all; reading names each bad line.

The objects are the dataclasses of `data/rows.py` field by field, so `datasets.load_dataset("json", ...)` reads them as
they are. The fields are read here and not by msgspec or pydantic: every bad line is listed, a message names file, line
and field in the words of our errors, and lone surrogates are refused like other faults.
"""

import hashlib
import json
import os
import stat
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, TypeVar

from data.files.text import NotTextError, refuse_surrogates, refuse_wide, text_of
from data.rows import Provenance
from protocol.errors import UserError
from protocol.labels import Labels, LabelsError

RowT = TypeVar("RowT")
MAX_REPORTED = 20
"""Problems a message lists before it only counts."""


class RowsError(UserError):
    """A file of rows that cannot be used; the message lists each bad line with what was expected."""


def write_rows(path: Path, rows: Iterable[Any]) -> int:
    """Write rows, replacing the file only once all are written; return how many."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(json.dumps(row_to_json(row), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_rows(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read every row of a file.

    Raises:
        RowsError: the file is missing, or lists every line that is not such a row.
    """
    return list(iterate_rows(path, row_type))


def iterate_rows(path: Path, row_type: type[RowT]) -> Iterator[RowT]:
    """Yield every row of a file, one at a time.

    Raises:
        RowsError: the file is missing; or, after the last good row, lists every line that is not such a row.
    """
    problems = []
    for number, line in numbered_lines(path):
        try:
            yield row_from_json(parse_object(line), row_type)
        except (RowsError, LabelsError) as error:
            problems.append(f"{path}:{number}: {error}")
    if problems:
        more = [f"... and {len(problems) - MAX_REPORTED} more"] if len(problems) > MAX_REPORTED else []
        hint = f"hint: each line is one {row_type.__name__} as `tritrace data build` writes it; nothing was changed"
        raise RowsError("\n".join([*problems[:MAX_REPORTED], *more, hint]))


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers from 1; `parse_object` reads them.

    Raises:
        RowsError: the file cannot be read, or is UTF-16.
    """
    try:
        with path.open("rb") as file:
            refuse_wide(file.read(4), str(path))
            file.seek(0)
            for number, line in enumerate(file, start=1):
                bare = (line.removeprefix(BOM_UTF8) if number == 1 else line).strip()
                if bare:
                    yield number, bare
    except OSError as error:
        raise RowsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except NotTextError as error:
        raise RowsError(str(error)) from None


def read_json(path: Path) -> Any:
    """Return the content of a file that can be made again; None where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        refuse_surrogates(value)  # JSON can escape half a character, which nothing that is written later may hold
    except (OSError, ValueError, RecursionError):
        return None
    return value


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file as `read_json` does; {} where there is none."""
    value = read_json(path)
    return value if isinstance(value, dict) else {}


def file_fingerprint(path: Path) -> str:
    """Return sixteen hexadecimal digits of the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Open a text file that replaces `path` when the block ends without an error, and is removed otherwise.

    Raises:
        RowsError: something that is no file is in the way.
        OSError: the disk is full, read-only, or the folder cannot be made.
    """
    draft = draft_beside(path)
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def draft_beside(path: Path) -> Path:
    """Make an empty file that will replace another one, with the other's mode, or else the mode of the umask.

    Raises:
        RowsError: something that is no file is in the way, such as a folder or a device.
        OSError: as for any file that is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise RowsError(f"{path}: is no file, and is not replaced by one; name another")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if mode is not None:
        draft.chmod(mode)
    return draft


def row_to_json(row: Any) -> dict[str, Any]:
    """Return the JSON object of a row."""
    return {each.name: _plain(getattr(row, each.name)) for each in fields(row)}


def _plain(value: Any) -> Any:
    if isinstance(value, Labels):
        return value.to_json()
    if isinstance(value, Provenance):
        return row_to_json(value)
    return list(value) if isinstance(value, tuple) else value


def row_from_json(record: Mapping[str, Any], row_type: type[RowT]) -> RowT:
    """Return the row of a JSON object.

    Raises:
        RowsError: a field is missing, unknown, or of the wrong kind.
        LabelsError: the labels are.
    """
    known = {each.name: each for each in fields(row_type)}  # type: ignore[arg-type]
    if unknown := sorted(set(record) - set(known)):
        raise RowsError(f"unknown field {unknown[0]!r} in a {row_type.__name__}; known are {', '.join(known)}")
    required = [name for name, each in known.items() if _is_required(each)]
    if missing := [name for name in required if record.get(name) is None]:
        raise RowsError(f"the field {missing[0]!r} is missing; a {row_type.__name__} needs {', '.join(required)}")
    return row_type(**{name: _read_field(name, value) for name, value in record.items() if value is not None})


def _read_field(name: str, value: Any) -> Any:
    return _readers[name](name, value) if name in _readers else _text(name, value)


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def parse_object(line: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a line.

    Raises:
        RowsError: the line is not a JSON object, or a string in it is not text (`data.files.text`).
    """
    try:
        record = json.loads(text_of(line))
    except NotTextError as error:
        raise RowsError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise RowsError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise RowsError(f"expected a JSON object, found {type(record).__name__}")
    if b"\\u" in line:  # the only way to half a character
        try:
            refuse_surrogates(record)
        except NotTextError as error:
            raise RowsError(str(error)) from None
    return record


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RowsError(f"{name}: expected a string, found {value!r}")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RowsError(f"{name}: expected a list of strings, found {value!r}")
    return tuple(_text(f"{name}[{place}]", item) for place, item in enumerate(value))


def _messages(name: str, value: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or not value:
        raise RowsError(f"{name}: expected a list of messages, found {value!r}")
    for place, message in enumerate(value):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise RowsError(f'{name}[{place}]: expected {{"role": ..., "content": ...}}, found {message!r}')
        _text(f"{name}[{place}].role", message["role"])
        _text(f"{name}[{place}].content", message["content"])
    return tuple(value)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowsError(f"{name}: expected an object, found {value!r}")
    return value


_readers: dict[str, Callable[[str, Any], Any]] = {
    "images": _texts,
    "expected_codes": _texts,
    "prompt": _messages,
    "completion": _messages,
    "chosen": _messages,
    "rejected": _messages,
    "labels": lambda name, value: Labels.from_json(_mapping(name, value)),
    "answers": lambda name, value: {key: _text(name, text) for key, text in _mapping(name, value).items()},
    "provenance": lambda name, value: row_from_json(_mapping(name, value), Provenance),
}
"""How a field is read, by its name; any other is a string. A field name means the same in every row."""
