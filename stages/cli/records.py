"""The responses that `tritrace validate` reads: JSON Lines, one JSON object or list, raw text, or standard input."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import RowsError, numbered_lines
from protocol import Labels, Plan, SpecError
from protocol.errors import UserError
from toolkit.planner import named_plan


@dataclass(frozen=True, slots=True)
class Record:
    """One response to check."""

    source: str
    """The file, or "-"."""
    line: int
    """Where in the file the record stands, from 1."""
    response: str
    plan: Plan | None
    """The record's own plan, if it has one."""
    labels: Labels


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that could not be read."""

    source: str
    line: int
    reason: str


def read_records(source: str) -> Iterator[Record | Unreadable]:
    """Yield the records of a file, by its ending, or of standard input for "-"; a file that is not there is one too."""
    try:
        if source == "-":
            yield from _from_standard_input()
        elif source.endswith((".jsonl", ".ndjson")):
            for number, line in numbered_lines(Path(source)):
                yield _from_text(source, number, line)
        elif source.endswith(".json"):
            yield from _from_json(source, _read(source))
        else:
            yield Record(source, 1, _read(source), None, Labels())
    except (OSError, RowsError) as error:
        yield Unreadable(source, 1, error.strerror or str(error) if isinstance(error, OSError) else str(error))


def _read(source: str) -> str:
    return Path(source).read_bytes().decode("utf-8", errors="replace")


def _from_standard_input() -> Iterator[Record | Unreadable]:
    """A first line that is a JSON object begins JSON Lines; anything else is one raw response."""
    text = sys.stdin.buffer.read().decode("utf-8", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if lines and lines[0][1].lstrip().startswith("{"):
        for number, line in lines:
            yield _from_text("-", number, line)
    else:
        yield Record("-", 1, text, None, Labels())


def _from_json(source: str, text: str) -> Iterator[Record | Unreadable]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Unreadable(source, getattr(error, "lineno", 1), f"not JSON: {error}")
        return
    for record in value if isinstance(value, list) else [value]:
        yield _from_value(source, 1, record)


def _from_text(source: str, number: int, line: str) -> Record | Unreadable:
    try:
        return _from_value(source, number, json.loads(line))
    except (ValueError, RecursionError) as error:
        return Unreadable(source, number, f"not JSON: {error}")


def _from_value(source: str, number: int, value: Any) -> Record | Unreadable:
    if not isinstance(value, Mapping) or not isinstance(value.get("response"), str):
        return Unreadable(source, number, 'expected an object with the text field "response"')
    try:
        plan = None if value.get("plan") is None else _plan(value["plan"])
        labels = Labels() if value.get("labels") is None else Labels.from_json(value["labels"])
    except (UserError, TypeError, AttributeError) as error:
        return Unreadable(source, number, str(error))
    return Record(source, number, value["response"], plan, labels)


def _plan(value: Any) -> Plan:
    """Read a plan given as an object, as its JSON text, or by name."""
    if isinstance(value, Mapping):
        # By way of the text, so that equal plans become one object and what derives from them is built once.
        return Plan.from_json(json.dumps(value, sort_keys=True))
    if not isinstance(value, str):
        raise SpecError(f"plan: expected an object, its JSON text or a name, found {value!r}")
    return Plan.from_json(value) if value.lstrip().startswith("{") else named_plan(value)


def plan_option(value: str) -> Plan:
    """Return the plan that `--plan` names: a JSON file, or a plan of the toolkit by name.

    Raises:
        SpecError: there is neither, or the file holds no usable plan; the message names the file.
    """
    path = Path(value)
    if not path.is_file():
        return named_plan(value)
    try:
        return Plan.from_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: {error}") from None
