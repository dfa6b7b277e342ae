"""Expressions of a source's YAML: a column, a template, a constant, a map, a choice.

    question                                  the column of that name (in `text`, `images`, `answers`, `intent`)
    "imgs/{@file}/SD/{@key}.jpg"              a template: columns and places in braces
    {value: unsafe}                           a constant
    {column: label, map: {safe: comply}}      translates the column's value; an unknown one is an error ...
    {column: label, map: {...}, default: null}  ... unless there is a default
    {pick: choices, by: answer}               the item of one column at the number in another
    {first: [a, b]}                           the first one that exists and is not empty

A template takes filters: `{choices|lettered}` writes a list as lines "(A) ...", `{name|stem}` drops a file's ending,
`{name|words}` writes `some-name` as `some name`.

This is our own code: JMESPath returns null for an unknown column, where we need an error, and it fills no templates.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from data.sources.reading.records import FieldError, Record, look_up
from protocol.nearest import nearest

_SLOT = re.compile(r"\{([^{}|]+)(?:\|([a-z]+))?\}")

Expression = str | Mapping[str, Any]


def evaluate(expression: Expression, record: Record, *, plain: str = "column") -> Any:
    """Return the value of an expression for a record.

    Args:
        expression: one of the forms above.
        record: the record to read.
        plain: how a text without braces is read: as a "column" or as a "constant".

    Raises:
        FieldError: the record has no such column, or its value is not in the map.
    """
    if isinstance(expression, str):
        if "{" in expression:
            return _SLOT.sub(lambda slot: _filled(slot, record), expression)
        return look_up(record, expression) if plain == "column" else expression
    if "value" in expression:
        return expression["value"]
    if "first" in expression:
        return _first(expression["first"], record)
    if "pick" in expression:
        return _picked(expression, record)
    return _mapped(expression, record)


def columns_of(expression: Any, *, plain: str = "column") -> set[str]:
    """Return the paths that an expression reads.

    >>> sorted(columns_of("{question} {choices|lettered}"))
    ['choices', 'question']
    """
    if isinstance(expression, str):
        if "{" in expression:
            return {slot.group(1) for slot in _SLOT.finditer(expression)}
        return {expression} if plain == "column" else set()
    if not isinstance(expression, Mapping):
        return set()
    if "first" in expression:
        return set().union(*(columns_of(each) for each in expression["first"]))
    return {expression[key] for key in ("column", "pick", "by") if key in expression}


def normalized(value: Any) -> str:
    """Return a value in the form for comparison: case, surrounding blanks and the YAML type do not matter.

    >>> normalized(True), normalized(" Safe "), normalized(3)
    ('true', 'safe', '3')
    """
    return str(value).strip().casefold()


def _filled(slot: re.Match[str], record: Record) -> str:
    path, name = slot.groups()
    value = look_up(record, path)
    if value is None:
        raise FieldError(f"{path}: is null")
    if name == "lettered":
        return lettered(value)
    if name == "stem":
        return str(PurePosixPath(str(value)).with_suffix(""))
    return str(value).replace("-", " ").replace("_", " ") if name == "words" else str(value)


def lettered(options: Any) -> str:
    r"""Return options as lines.

    >>> lettered(["Ohio", "Utah"])
    '(A) Ohio\n(B) Utah'

    Raises:
        FieldError: `options` is not a list of 1 to 26 options.
    """
    if not isinstance(options, list | tuple) or not 0 < len(options) <= 26:
        raise FieldError(f"expected a list of 1 to 26 options, found {options!r}")
    return "\n".join(f"({chr(ord('A') + place)}) {option}" for place, option in enumerate(options))


def _first(choices: list[Expression], record: Record) -> Any:
    reasons = []
    for each in choices:
        try:
            value = evaluate(each, record)
        except FieldError as error:
            reasons.append(str(error))
            continue
        if value not in {None, ""} if isinstance(value, str | None) else True:
            return value
        reasons.append(f"{each}: is empty")
    raise FieldError("; ".join(reasons))


def _picked(expression: Mapping[str, Any], record: Record) -> Any:
    options, number = look_up(record, expression["pick"]), look_up(record, expression["by"])
    if isinstance(options, list | tuple) and isinstance(number, int) and 0 <= number < len(options):
        return options[number]
    raise FieldError(f"{expression['by']}: expected an index into the list {expression['pick']}, found {number!r}")


def _mapped(expression: Mapping[str, Any], record: Record) -> Any:
    path = expression["column"]
    try:
        value = look_up(record, path)
    except FieldError:
        if "default" in expression:
            return expression["default"]
        raise
    if "map" not in expression:
        return value
    known = {normalized(key): meaning for key, meaning in expression["map"].items()}
    if (found := normalized(value)) in known:
        return known[found]
    if "default" in expression:
        return expression["default"]
    hint = nearest(found, known)
    raise FieldError(f"{path}: expected one of {', '.join(known)}, found {value!r}" + (f"; {hint}" if hint else ""))
