"""The types a key can have, each with everything that follows from it.

A key type knows how its values look in canonical form (`terminal`, a Lark terminal expression), how a written literal
is judged and read (`faults`, `value`), what JSON Schema describes the read value (`schema`), and how it is explained to
a model or a person (`describe`). Grammar, schema, prompt and diagnostics ask the type; none of them restates it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, cast

from protocol.errors import UserError
from protocol.keys.literals import MAX_ITEMS, LiteralKind, Unread, Value, Word, WrittenLiteral
from protocol.keys.numerals import alternatives, numerals
from protocol.nearest import nearest

TypeFaultName = Literal["wrong-type", "out-of-bounds", "not-in-enum"]
MAX_NUMERALS = 10_001
MAX_PLACES = 9
MAX_LENGTH = 10_000
MAX_BOUND = 10**15


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


def _wrong_type(key_type: KeyType, literal: WrittenLiteral) -> KeyFault:
    message = f"expected {key_type.describe()}, found {literal.kind.describe()} {_shorten(literal.text)}".rstrip()
    return KeyFault("wrong-type", message, _slip(key_type, literal) or f"write {key_type.describe()}", literal)


def _slip(key_type: KeyType, literal: WrittenLiteral) -> str:
    """Return how to correct a spelling that is nearly right, or ""."""
    spelling, is_text = literal.text, key_type.name == "text"
    if key_type.name == "list":
        return "put it in brackets, with commas between the items"
    bare = spelling.strip("'\u2018\u2019\u201c\u201d`")
    if literal.kind is LiteralKind.WORD or (literal.kind is LiteralKind.UNREADABLE and bare != spelling):
        quoted = f"put it in double quotes: {_shorten(json.dumps(bare, ensure_ascii=False))}"
        return (
            quoted
            if is_text
            else ""
            if literal.kind is LiteralKind.WORD
            else f"write it without quotes: {_shorten(bare)}"
        )
    if literal.kind is LiteralKind.STRING and not is_text:
        if isinstance(key_type, Enum) and literal.value not in key_type.words:
            return key_type.way_out(str(literal.value)) or f"write {key_type.describe()}, without quotes"
        return f"write it without quotes: {_shorten(str(literal.value))}"
    if literal.kind is LiteralKind.UNREADABLE and spelling.startswith('"'):
        return "close the double quotes"
    return ""


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _check_bounds(name: str, low: float, high: float) -> None:
    if not low <= high:
        raise SpecError(f"{name}: the lower bound {low} is above the upper bound {high}")


def _check_counts(name: str, low: int, high: int, most: int) -> None:
    if type(low) is not int or type(high) is not int or low < 0 or not 1 <= high <= most or low > most:
        found = f"{_shorten(repr(low))} and {_shorten(repr(high))}"
        raise SpecError(f"{name}: expected whole bounds from 0, the upper one from 1 to {most}; found {found}")
    _check_bounds(name, low, high)


@dataclass(frozen=True, slots=True)
class Text:
    """A JSON string of bounded length, counted in code points."""

    name: ClassVar[str] = "text"
    max_length: int = 120
    min_length: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        _check_counts("text", self.min_length, self.max_length, MAX_LENGTH)

    def terminal(self) -> str:
        """A quoted string; an escape counts as one character."""
        return rf'"\"" CHAR~{self.min_length}..{self.max_length} "\""'

    def describe(self) -> str:
        """Text with its bounds."""
        at_least = f"{self.min_length} to " if self.min_length else "at most "
        return f"text in double quotes, {at_least}{self.max_length} characters"

    def placeholder(self) -> str:
        """A quoted ellipsis."""
        return '"..."'

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Not a string, or a length outside the bounds."""
        if literal.kind is not LiteralKind.STRING:
            yield _wrong_type(self, literal)
        elif not self.min_length <= (length := len(str(literal.value))) <= self.max_length:
            message = f"text of {length} characters, expected {self.min_length} to {self.max_length}"
            hint = "shorten it" if length > self.max_length else "say something"
            yield KeyFault("out-of-bounds", message, hint, literal)

    def value(self, literal: WrittenLiteral) -> Value:
        """The decoded string."""
        return str(literal.value) if literal.kind is LiteralKind.STRING else Unread(literal.text)

    def schema(self) -> dict[str, Any]:
        """A string with its length bounds."""
        return {"type": "string", "minLength": self.min_length, "maxLength": self.max_length}


@dataclass(frozen=True, slots=True)
class Enum:
    """One bare word of a fixed set."""

    name: ClassVar[str] = "enum"
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the words are bare words, distinct, and at least one."""
        reserved = {"true", "false"}
        bad = [word for word in self.words if not Word.is_bare(word) or word in reserved]
        if not isinstance(self.words, tuple) or not self.words or bad or len(set(self.words)) != len(self.words):
            raise SpecError(f"enum: expected distinct bare words other than true and false, found {self.words!r}")

    def terminal(self) -> str:
        """Any of the words."""
        return "(" + " | ".join(f'"{word}"' for word in self.words) + ")"

    def describe(self) -> str:
        """The words."""
        return f"one of {', '.join(self.words)}"

    def placeholder(self) -> str:
        """The words, separated by bars."""
        return "|".join(self.words)

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Not a bare word, or a word outside the set."""
        if literal.kind is not LiteralKind.WORD:
            yield _wrong_type(self, literal)
        elif literal.value not in self.words:
            message = f"{_shorten(literal.text)!r} is not {self.describe()}"
            yield KeyFault("not-in-enum", message, self.way_out(literal.text), literal)

    def way_out(self, spelling: str) -> str:
        """Return a hint that ends at one of the words: the nearest, else the one for all the rest, or "" without one.

        >>> Enum(("none", "theft", "other")).way_out("illegal activity")
        'write other, for what has no word of its own'
        """
        if hint := nearest(spelling.lower(), self.words):
            return hint
        return "write other, for what has no word of its own" if "other" in self.words else ""

    def value(self, literal: WrittenLiteral) -> Value:
        """The word."""
        return Word(literal.value) if literal.kind is LiteralKind.WORD else Unread(literal.text)

    def schema(self) -> dict[str, Any]:
        """The enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Number:
    """A fixed-point number, rounded to `places` decimals when it is read; bounds apply to the rounded number."""

    name: ClassVar[str] = "number"
    minimum: float = 0.0
    maximum: float = 1.0
    places: int = 2

    def __post_init__(self) -> None:
        """Check the bounds, and that the grammar can spell the range."""
        if not all(type(bound) in (int, float) for bound in (self.minimum, self.maximum)):
            raise SpecError(f"{self.name}: expected numbers, found {self.minimum!r} and {self.maximum!r}")
        if not all(-MAX_BOUND <= bound <= MAX_BOUND for bound in (self.minimum, self.maximum)):
            found = f"{_shorten(repr(self.minimum))} and {_shorten(repr(self.maximum))}"
            raise SpecError(f"{self.name}: expected bounds from -{MAX_BOUND} to {MAX_BOUND}, found {found}")
        _check_bounds(self.name, self.minimum, self.maximum)
        if type(self.places) is not int or not 0 <= self.places <= MAX_PLACES:
            raise SpecError(f"{self.name}: expected 0 to {MAX_PLACES} places, found {_shorten(repr(self.places))}")
        if (self.maximum - self.minimum) * 10**self.places >= MAX_NUMERALS:
            raise SpecError(
                f"{self.name}: {self.minimum:g} to {self.maximum:g} in {self.places} decimals has more than"
                f" {MAX_NUMERALS - 1} steps; narrow the range or take fewer decimals, so that the grammar can hold it"
            )
        if not numerals(self.minimum, self.maximum, self.places):
            bounds = f"{self.minimum!r} to {self.maximum!r}"
            raise SpecError(f"{self.name}: there is no number from {bounds} with {self.places} decimals")

    def terminal(self) -> str:
        """Exactly the numerals in range, without trailing zeros."""
        return f"/{_numerals_pattern(self.minimum, self.maximum, self.places)}/"

    def describe(self) -> str:
        """Number with its range."""
        kind = "whole number" if self.places == 0 else "number"
        return f"a {kind} from {self.minimum:g} to {self.maximum:g}"

    def placeholder(self) -> str:
        """The range."""
        return f"{self.minimum:g}..{self.maximum:g}"

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Not a number (of this kind), or out of range."""
        if not self._is_number(literal):
            yield _wrong_type(self, literal)
            return
        value = self._read(literal)
        if value is None or not _exact(self.minimum) <= value <= _exact(self.maximum):
            yield KeyFault("out-of-bounds", f"{_shorten(literal.text)} is not {self.describe()}", "", literal)

    def _is_number(self, literal: WrittenLiteral) -> bool:
        return literal.kind is LiteralKind.NUMBER and (self.places > 0 or _is_whole(literal.text))

    def _read(self, literal: WrittenLiteral) -> Decimal | None:
        value = Decimal(literal.text)
        if value.adjusted() > 15:
            return None  # far out of any range that a spec can state; quantising it would raise
        return Decimal(0) if value.adjusted() < -self.places - 1 else round(value, self.places)

    def value(self, literal: WrittenLiteral) -> Value:
        """The number to `places` decimals; an int where there are none."""
        value = self._read(literal) if self._is_number(literal) else None
        if value is None:
            return Unread(literal.text)
        return int(value) if self.places == 0 else float(value) + 0.0

    def schema(self) -> dict[str, Any]:
        """A number with its bounds."""
        kind = "integer" if self.places == 0 else "number"
        return {"type": kind, "minimum": self.minimum, "maximum": self.maximum}


@cache
def _exact(bound: float) -> Decimal:
    """Return the decimal that was written for a bound: 0.1, not the binary fraction just above it."""
    return Decimal(repr(bound))


def _is_whole(numeral: str) -> bool:
    return numeral.lstrip("-").isdigit()


@cache
def _numerals_pattern(minimum: float, maximum: float, places: int) -> str:
    return alternatives(numerals(minimum, maximum, places))


@dataclass(frozen=True, slots=True)
class Integer(Number):
    """A whole number in a range."""

    name: ClassVar[str] = "integer"
    minimum: int = 0
    maximum: int = 10
    places: int = 0


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    name: ClassVar[str] = "flag"

    def terminal(self) -> str:
        """Either word."""
        return '("true" | "false")'

    def describe(self) -> str:
        """Both words."""
        return "true or false"

    def placeholder(self) -> str:
        """Both words."""
        return "true|false"

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Neither of the words."""
        if literal.kind is not LiteralKind.FLAG:
            yield _wrong_type(self, literal)

    def value(self, literal: WrittenLiteral) -> Value:
        """The truth value."""
        return bool(literal.value) if literal.kind is LiteralKind.FLAG else Unread(literal.text)

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class List:
    """A JSON array of texts or enum words, bounded in length."""

    name: ClassVar[str] = "list"
    item: Text | Enum
    max_items: int = 6
    min_items: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not isinstance(self.item, Text | Enum):
            raise SpecError(f"list: expected items of type text or enum, found {self.item!r}")
        _check_counts("list", self.min_items, self.max_items, MAX_ITEMS)

    def terminal(self) -> str:
        """Items between brackets, separated by comma and space."""
        item = f"({self.item.terminal()})"
        rest = f'(", " {item})~{max(self.min_items - 1, 0)}..{self.max_items - 1}'
        items = f"({item} {rest})" if self.max_items > 1 else item
        return f'"[" {items}{"" if self.min_items else "?"} "]"'

    def describe(self) -> str:
        """The item type and the length bound."""
        return f"a list of {self.min_items} to {self.max_items} items, each {self.item.describe()}"

    def placeholder(self) -> str:
        """A list of one item."""
        return f"[{self.item.placeholder()}, ...]"

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Not a list, too few or too many items, or an item at fault among those that may stand there."""
        if literal.kind is not LiteralKind.LIST:
            yield _wrong_type(self, literal)
            return
        if not self.min_items <= len(literal.items) <= self.max_items:
            count = len(literal.items) if len(literal.items) <= MAX_ITEMS else f"more than {MAX_ITEMS}"
            message = f"a list of {count} items, expected {self.min_items} to {self.max_items}"
            yield KeyFault("out-of-bounds", message, "", literal)
        for item in literal.items[: self.max_items]:
            yield from self.item.faults(item)

    def value(self, literal: WrittenLiteral) -> Value:
        """The items' values."""
        if literal.kind is not LiteralKind.LIST:
            return Unread(literal.text)
        return tuple(cast("str", self.item.value(item)) for item in literal.items)

    def schema(self) -> dict[str, Any]:
        """An array with its bounds."""
        bounds = {"minItems": self.min_items, "maxItems": self.max_items}
        return {"type": "array", "items": self.item.schema(), **bounds}


AnyKeyType = Text | Enum | Number | Integer | Flag | List
_types: dict[str, type] = {cls.name: cls for cls in (Text, Enum, Number, Integer, Flag, List)}


def type_to_json(key_type: AnyKeyType) -> dict[str, Any]:
    """Return the JSON object of a key type: its name under "type", beside its bounds."""
    record = {"type": key_type.name, **asdict(key_type)}
    if isinstance(key_type, List):
        record["item"] = type_to_json(key_type.item)
    if isinstance(key_type, Integer):
        del record["places"]
    return record


def type_from_json(record: Mapping[str, Any]) -> AnyKeyType:
    """Read a key type.

    Raises:
        SpecError: an unknown type name, an unknown bound, or a bound of the wrong kind.
    """
    options = {name: value for name, value in record.items() if name != "type" and value is not None}
    name = record.get("type")
    if name not in _types:
        raise SpecError(f"unknown key type {name!r}; known are {', '.join(_types)}")
    if name == "list" and isinstance(options.get("item"), Mapping):
        options["item"] = type_from_json(options["item"])
    if name == "enum" and isinstance(options.get("words"), list):
        options["words"] = tuple(options["words"])
    try:
        key_type: AnyKeyType = _types[name](**options)
    except TypeError as error:
        raise SpecError(f"key type {name}: {error}") from None
    return key_type
