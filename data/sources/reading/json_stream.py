"""Reads the records of a large JSON file one by one: from a list, an object of records, or an object of lists.

Memory is bounded by the longest record, not by the file. Reading ends at a syntax error, because the start of the next
record is unknown. This is our own code, because `ijson` does not say in which line a record begins, and sets no limit
on the length of a record.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

_CHUNK = 1 << 16
MAX_RECORD = 1 << 24
"""Limit for one record, in characters."""
_BLANK = " \t\r\n"


class JsonError(ValueError):
    """The syntax is wrong; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Item:
    """One value of the file."""

    value: Any
    line: int
    """Line where the value begins, from 1."""
    key: str
    """Key of the value, or its number in the list, from 0."""
    section: str = ""
    """Key of the list that holds the value."""


class JsonStream:
    """Reads a JSON file value by value."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._place = 0
        self._decoder = json.JSONDecoder()
        self.line = 1

    def items(self) -> Iterator[Item]:
        """Yield every record.

        Raises:
            JsonError: the syntax is wrong, or the file is neither list nor object; earlier records are yielded first.
        """
        if self._peek() == "[":
            yield from self._list("")
        elif self._peek() == "{":
            yield from self._object()
        else:
            raise JsonError("expected a list or an object of records")
        if self._peek():
            raise JsonError("expected the end of the file")

    def _list(self, section: str) -> Iterator[Item]:
        self._take("[")
        number = 0
        while self._peek() != "]":
            line = self.line
            yield Item(self._value(), line, str(number), section)
            number += 1
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _object(self) -> Iterator[Item]:
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            if not isinstance(key, str):
                raise JsonError(f"expected a key in quotes, found {key!r}")
            self._take(":")
            if self._peek() == "[":
                yield from self._list(key)
            else:
                line = self.line
                yield Item(self._value(), line, key)
            if self._peek() != "}":
                self._take(",")
        self._take("}")

    def _value(self) -> Any:
        self._peek()
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except (json.JSONDecodeError, RecursionError) as error:
                value, end, fault = None, -1, error
            # A number at the end of the text may continue in the next chunk.
            if end >= 0 and (end < len(self._text) or not self._more(_CHUNK)):
                self._skip_to(end)
                return value
            if end < 0 and not self._more(size):
                raise JsonError(f"not JSON: {getattr(fault, 'msg', 'nested too deeply')}")
            if len(self._text) - self._place > MAX_RECORD and end < 0:
                raise JsonError(f"no record ends within {MAX_RECORD:,} characters")
            size *= 2

    def _peek(self) -> str:
        """Return the next character that is not blank, or "" at the end."""
        while True:
            while self._place < len(self._text):
                character = self._text[self._place]
                if character not in _BLANK:
                    return character
                self._skip_to(self._place + 1)
            if not self._more(_CHUNK):
                return ""

    def _take(self, character: str) -> None:
        if (found := self._peek()) != character:
            raise JsonError(f"expected {character!r}, found {f'{found!r}' if found else 'the end of the file'}")
        self._skip_to(self._place + 1)

    def _skip_to(self, end: int) -> None:
        self.line += self._text.count("\n", self._place, end)
        self._place = end

    def _more(self, size: int) -> bool:
        piece = self._file.read(size)
        if piece:
            self._text = self._text[self._place :] + piece
            self._place = 0
        return bool(piece)
