"""The types that a key can have: text, enum and flag, lists, and the numbers of `numbers.py`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from protocol.keys.key_type import KeyFault, SpecError, check_counts, shorten, wrong_type
from protocol.keys.literals import MAX_ITEMS, LiteralKind, Unread, Value, Word, WrittenLiteral
from protocol.keys.numbers import Integer, Number
from protocol.nearest import nearest

MAX_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Text:
    """A JSON string of bounded length, counted in code points."""

    name: ClassVar[str] = "text"
    max_length: int = 120
    min_length: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_counts("text", self.min_length, self.max_length, MAX_LENGTH)

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
            yield wrong_type(self, literal)
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
        if literal.kind is LiteralKind.STRING and literal.value not in self.words:
            hint = self.way_out(str(literal.value)) or f"write {self.describe()}, without quotes"
            yield wrong_type(self, literal, hint)
        elif literal.kind is not LiteralKind.WORD:
            yield wrong_type(self, literal)
        elif literal.value not in self.words:
            message = f"{shorten(literal.text)!r} is not {self.describe()}"
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
            yield wrong_type(self, literal)

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
        check_counts("list", self.min_items, self.max_items, MAX_ITEMS)

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
            yield wrong_type(self, literal)
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
