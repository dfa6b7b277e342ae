"""Values as a trace carries them, and literals as somebody wrote them.

A value is what was read for a key: `str` for text, `Word` for an enum word, `float` or `int`, `bool`, or a tuple of
texts or words. A spelling that the key cannot read stays an `Unread`. A `WrittenLiteral` is the spelling in a response
with its place, before it is compared with the type of the key.
"""

import json
import re
from enum import StrEnum
from typing import NamedTuple

from protocol.keys.numerals import numeral

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")

MAX_ITEMS = 1_000
"""The most items that a key may ask for. The reader takes one more, which is out of bounds, and skips the rest."""
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Word(str):
    """An enum word: written bare, unlike text."""

    __slots__ = ()

    @staticmethod
    def is_bare(text: str) -> bool:
        """Whether a text can be written as a bare word."""
        return bool(_BARE.match(text))


class Unread(str):
    """The spelling of a value that could not be read: it has another type than its key, or no tool declares the key."""

    __slots__ = ()


Value = str | Word | float | int | bool | tuple[str, ...]


class LiteralKind(StrEnum):
    """What a written literal is."""

    STRING = "string"
    NUMBER = "number"
    FLAG = "flag"
    WORD = "word"
    LIST = "list"
    UNREADABLE = "unreadable"

    def describe(self) -> str:
        """Return the kind with its article, for messages."""
        return {"unreadable": "something unreadable", "word": "the bare word"}.get(self.value, f"the {self.value}")


class WrittenLiteral(NamedTuple):
    """One value as written."""

    kind: LiteralKind
    text: str
    """The spelling."""
    value: str | bool | None
    """The decoded string, the word or the flag; None for numbers and lists, which are read by their key's type."""
    start: int
    """Offset in the response, in code points."""
    items: tuple["WrittenLiteral", ...] = ()
    """The items of a list."""


def without_surrogates(text: str) -> str:
    """Return a text of the same length with U+FFFD for every lone surrogate."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def spell(value: Value) -> str:
    r"""Return the canonical spelling of a value.

    >>> spell("a \"b\""), spell(Word("safe")), spell(0.50), spell(True), spell(("a", "b"))
    ('"a \\"b\\""', 'safe', '0.5', 'true', '["a", "b"]')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Word | Unread):
        return str(value)
    if isinstance(value, str):
        # A bare "<" could begin a tag, and the reader knows tags before it knows strings.
        return json.dumps(value, ensure_ascii=False).replace("<", r"\u003c")
    if isinstance(value, tuple):
        return f"[{', '.join(spell(item) for item in value)}]"
    return numeral(value)
