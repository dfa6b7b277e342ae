"""A record of a data set, its place in the file, and access to its columns by path."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import UserError
from protocol.nearest import nearest

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]")
_MAX_LISTED = 12


class SourceError(UserError):
    """A source cannot be read at all; the message says what was expected and what to do."""


class FieldError(ValueError):
    """A record does not match its declaration. It is reported and left out; the import goes on."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a data set."""

    values: Mapping[str, Any]
    """The columns, unchanged."""
    where: str
    """File and line, row or key, for messages."""
    file: str = ""
    """Name of the file without folder and ending; path `@file`."""
    key: str = ""
    """The key of a JSON object's entry, or the number of the row from 0; path `@key`."""
    section: str = ""
    """The key of the list that the record belongs to, if a JSON file has several lists; path `@section`."""
    split: str = ""
    """The split as the source names it; path `@split`."""
    config: str = ""
    """The configuration of a Hub data set; path `@config`."""
    item: Any = None
    """The current item of the list named by `each`; path `@item`."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in a file where no record could be read, and the reason."""

    where: str
    reason: str


_PLACES = ("file", "key", "section", "split", "config", "item")


def has_column(record: Record, path: str) -> bool:
    """Return whether a record has a value at a path; null counts as a value."""
    try:
        look_up(record, path)
    except FieldError:
        return False
    return True


def look_up(record: Record, path: str) -> Any:
    """Return the value at a path: `question`, `turns[0].value`, or a place such as `@split`.

    A column whose whole name equals the path is found first, even if its name contains dots or brackets.

    >>> look_up(Record({"turns": [{"value": "Hello"}]}, "a.json:1"), "turns[0].value")
    'Hello'

    Raises:
        FieldError: there is no value; the message names the step that failed and the nearest existing name.
    """
    if path.startswith("@"):
        name, _, rest = path[1:].partition(".")
        if name not in _PLACES:
            raise FieldError(f"unknown place {path!r}; known are {', '.join('@' + each for each in _PLACES)}")
        place = getattr(record, name)
        return _descend(place, rest, path) if rest else place
    if path in record.values:
        return record.values[path]
    return _descend(record.values, path, path)


def _descend(value: Any, path: str, whole: str) -> Any:
    end = 0
    while end < len(path):
        step = _STEP.match(path, end)
        if step is None:
            raise FieldError(f"{whole!r} is not a path; expected names and [numbers]")
        value = _one_step(value, step, whole)
        end = step.end()
    return value


def _one_step(value: Any, step: re.Match[str], whole: str) -> Any:
    name, number = step.groups()
    if number is not None:
        is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        if is_list and -len(value) <= int(number) < len(value):
            return value[int(number)]
        raise FieldError(f"{whole}: there is no item [{number}] in {_described(value)}")
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        hint = nearest(name, map(str, value))
        found = ", ".join(map(str, list(value)[:_MAX_LISTED])) or "nothing"
        raise FieldError(f"column {name!r} is missing; found {found}" + (f"; {hint}" if hint else ""))
    raise FieldError(f"{whole}: there is no {name!r} in {_described(value)}")


def _described(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"a list of {len(value)}"
    return "null" if value is None else f"a {type(value).__name__}"
