"""Parses a piece to a response with its plan and labels, and reads the plan of `--plan`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.files.text import NotTextError, read_text, text_of
from protocol import Labels, Plan, SpecError
from protocol.errors import UserError
from stages.cli.validate.pieces import Piece, UnreadablePiece, not_json
from toolkit.planner import named_plan


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """One response to check."""

    piece: Piece
    response: str
    plan: Plan | None
    """The record's own plan, if it has one."""
    labels: Labels
    query: str | None = None
    """The user's words, if the record has them."""


def read_record(piece: Piece) -> ResponseRecord | UnreadablePiece:
    """Read a piece: a plain response (bytes that are not UTF-8 become U+FFFD), or an object with a response."""
    if piece.is_raw:
        return ResponseRecord(piece, piece.content.decode("utf-8-sig", errors="replace"), None, Labels())
    try:
        value = json.loads(text_of(piece.content).rstrip())
    except NotTextError as error:
        return _unreadable(piece, str(error))
    except (ValueError, RecursionError) as error:
        return not_json(error, piece)
    if not isinstance(value, Mapping) or not isinstance(value.get("response"), str):
        return _unreadable(piece, 'expected an object with the text field "response"')
    try:
        plan = None if value.get("plan") is None else _plan(value["plan"])
        labels = Labels() if value.get("labels") is None else Labels.from_json(value["labels"])
    except (UserError, TypeError, AttributeError) as error:
        return _unreadable(piece, str(error))
    query = value.get("query")
    return ResponseRecord(piece, value["response"], plan, labels, query if isinstance(query, str) else None)


def _unreadable(piece: Piece, reason: str) -> UnreadablePiece:
    return UnreadablePiece(piece.source, piece.line, piece.column, reason)


def _plan(value: Any) -> Plan:
    """Read a plan given as an object, as its JSON text, or by name."""
    if isinstance(value, Mapping):
        # Parsed from text, so that equal plans are one object and derived data is built once.
        return Plan.from_json(json.dumps(value, sort_keys=True))
    if not isinstance(value, str):
        raise SpecError(f"plan: expected an object, its JSON text or a name, found {value!r}")
    return Plan.from_json(value) if value.lstrip().startswith("{") else _named_plan(value)


_named_plan = lru_cache(maxsize=64)(named_plan)


def plan_option(value: str) -> Plan:
    """Return the plan of `--plan`: from a JSON file, or from the toolkit by name.

    Raises:
        SpecError: neither exists, or the file has no usable plan; the message names the file.
    """
    path = Path(value)
    if not path.is_file():
        return named_plan(value)
    try:
        return Plan.from_json(read_text(path))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: {error}") from None
