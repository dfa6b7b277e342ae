"""What every type of a key offers, and what is wrong with a written value or with the declaration of a type.

A key type knows how its values look in canonical form (`terminal`, a Lark terminal expression), how a written literal
is judged and read (`faults`, `value`), what JSON Schema describes the read value (`schema`), and how it is explained to
a model or a person (`describe`). Grammar, schema, prompt and diagnostics ask the type; none of them restates it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from protocol.errors import UserError
from protocol.keys.literals import LiteralKind, Value, WrittenLiteral

TypeFaultName = Literal["wrong-type", "out-of-bounds", "not-in-enum"]


class SpecError(UserError):
    """An impossible tool, graph or plan; the message says which part, and what was expected."""


@dataclass(frozen=True, slots=True)
class KeyFault:
    """What is wrong with one written value."""

    name: TypeFaultName
    message: str
    hint: str
    literal: WrittenLiteral
    """The literal at fault: the value itself, or one item of a list."""


class KeyType(Protocol):
    """What every key type offers."""

    name: ClassVar[str]

    def terminal(self) -> str:
        """Return the Lark terminal expression of the canonical form."""
        ...

    def describe(self) -> str:
        """Return the expectation in a few words, such as "one of safe, unsafe"."""
        ...

    def placeholder(self) -> str:
        """Return how a prompt shows the value to be written."""
        ...

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Yield everything wrong with a written literal."""
        ...

    def value(self, literal: WrittenLiteral) -> Value:
        """Return the value of a literal; its spelling, `Unread`, where it is of another type."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value."""
        ...


def wrong_type(key_type: KeyType, literal: WrittenLiteral, hint: str = "") -> KeyFault:
    """Return the fault of a literal of another type; without a hint of the type's own, a general one."""
    message = f"expected {key_type.describe()}, found {literal.kind.describe()} {shorten(literal.text)}".rstrip()
    return KeyFault("wrong-type", message, hint or _slip(key_type, literal) or f"write {key_type.describe()}", literal)


def _slip(key_type: KeyType, literal: WrittenLiteral) -> str:
    """Return how to correct a spelling that is nearly right, or ""."""
    spelling, is_text = literal.text, key_type.name == "text"
    if key_type.name == "list":
        return "put it in brackets, with commas between the items"
    bare = spelling.strip("'\u2018\u2019\u201c\u201d`")
    if literal.kind is LiteralKind.WORD or (literal.kind is LiteralKind.UNREADABLE and bare != spelling):
        if is_text:
            return f"put it in double quotes: {shorten(json.dumps(bare, ensure_ascii=False))}"
        return "" if literal.kind is LiteralKind.WORD else f"write it without quotes: {shorten(bare)}"
    if literal.kind is LiteralKind.STRING and not is_text:
        return f"write it without quotes: {shorten(str(literal.value))}"
    if literal.kind is LiteralKind.UNREADABLE and spelling.startswith('"'):
        return "close the double quotes"
    return ""


def shorten(text: str, limit: int = 40) -> str:
    """Return a text of at most `limit` characters, with "..." for the rest."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def check_bounds(name: str, low: float, high: float) -> None:
    """Raise SpecError if the lower bound is above the upper one."""
    if not low <= high:
        raise SpecError(f"{name}: the lower bound {low} is above the upper bound {high}")


def check_counts(name: str, low: int, high: int, most: int) -> None:
    """Raise SpecError unless both bounds are whole numbers, in order, from 0 to `most`, and the upper one is not 0."""
    if type(low) is not int or type(high) is not int or low < 0 or not 1 <= high <= most or low > most:
        found = f"{shorten(repr(low))} and {shorten(repr(high))}"
        raise SpecError(f"{name}: expected whole bounds from 0, the upper one from 1 to {most}; found {found}")
    check_bounds(name, low, high)
