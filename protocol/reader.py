"""The tolerant reader: any text in, what was written out, with every departure from the form located.

It never raises and takes time linear in the length of the text. It knows blocks, lines, keys and literals, but no plan:
whether a tool or a value may stand there is for `protocol/rules/`. Other spacing and another order of keys are read
without a fault; `canonical` and `Response.render` give the one spelling that a plan's grammar accepts.

A tag is a tag wherever it stands, inside quotes too: blocks are cut before lines and strings are looked at, so that a
forgotten quote cannot swallow a block. Canonical strings therefore spell "<" as an escape. Lone surrogates, which are
no text and could be neither printed nor stored, are read as U+FFFD.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from protocol.literals import Kind, WrittenLiteral

FaultName = Literal[
    "no-thinking",
    "no-answer",
    "unclosed-block",
    "text-outside",
    "malformed-call",
    "empty-trace",
    "empty-answer",
    "misplaced-block",
]
BLANKS = " \t\r\n"
_TAG = re.compile(r"<(/?)(thinking|answer)>")
_LINE = re.compile(r"[^\n]+")
_CALL = re.compile(r"[ \t\r]*\[([^\[\]\n]*)\][ \t]*:[ \t]*")
_KEY = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_-]*)[ \t]*=[ \t]*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?\Z")
_BARE_UNTIL = re.compile(r"[^;\n]*")
_ITEM_UNTIL = re.compile(r"[^,\];\n]*")
_GAP = re.compile(r"[ \t\r]*")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FormFault:
    """One departure from the form of a response."""

    name: FaultName
    start: int
    """Offset in the response, in code points."""
    message: str
    expected: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class WrittenPair:
    """One `key=value` as written."""

    key: str
    start: int
    literal: WrittenLiteral


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """One call line as written."""

    name: str
    start: int
    """Offset of the opening bracket."""
    pairs: tuple[WrittenPair, ...]


@dataclass(slots=True)
class Reading:
    """Everything found in one response."""

    text: str
    has_thinking: bool = False
    answer: str | None = None
    answer_start: int = 0
    """Offset of the first character of the answer."""
    calls: list[WrittenCall] = field(default_factory=list)
    faults: list[FormFault] = field(default_factory=list)
    outside: str = ""
    """The text outside the blocks, blanks stripped."""

    @property
    def visible_answer(self) -> str:
        """What a user would be shown: the answer, or all that was said outside the thinking block."""
        return self.outside if self.answer is None else self.answer


def read(text: str) -> Reading:
    """Read a response."""
    reading = Reading(without_surrogates(text))
    _Blocks(reading).scan()
    return reading


def without_surrogates(text: str) -> str:
    """Return a text of the same length with U+FFFD for every lone surrogate."""
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


class _Blocks:
    """Walks over the tags of a response and cuts it into blocks."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.open: str | None = None
        self.open_start = 0
        self.body_start = 0
        self.outside: list[tuple[int, int]] = []
        self.end_of_last = 0

    def scan(self) -> None:
        """Cut, then note what is missing."""
        text = self.reading.text
        for tag in _TAG.finditer(text):
            self.meet(tag)
        if self.open is None:
            self.outside.append((self.end_of_last, len(text)))
        else:
            self.unclosed(len(text), "the end of the response")
        self.note_outside()
        self.note_missing()

    def meet(self, tag: re.Match[str]) -> None:
        """Take the next tag."""
        is_closing, name = bool(tag[1]), tag[2]
        if self.open == "answer":
            if is_closing and name == "answer":
                self.close(tag.start(), tag.end())
        elif self.open == "thinking":
            self.meet_in_thinking(tag, is_closing, name)
        elif is_closing:
            self.meet_unopened(tag, name)
        else:
            self.outside.append((self.end_of_last, tag.start()))
            self.begin(name, tag.start(), tag.end())

    def meet_in_thinking(self, tag: re.Match[str], is_closing: bool, name: str) -> None:
        if name == "thinking" and is_closing:
            self.close(tag.start(), tag.end())
        elif name == "answer" and not is_closing:
            self.unclosed(tag.start(), "<answer>")
            self.begin("answer", tag.start(), tag.end())
        elif name == "thinking":
            self.fault("misplaced-block", tag.start(), "a second <thinking> inside the thinking block", "</thinking>")

    def meet_unopened(self, tag: re.Match[str], name: str) -> None:
        """A closing tag without an opening one: the text before it was meant as the block."""
        start = self.end_of_last
        is_repeated = self.reading.has_thinking if name == "thinking" else self.reading.answer is not None
        if is_repeated:
            self.fault("misplaced-block", tag.start(), f"</{name}> closes nothing", f"only one {name} block")
            self.outside.append((start, tag.start()))
        else:
            self.fault("unclosed-block", tag.start(), f"</{name}> without <{name}>", f"<{name}> before the block")
            self.begin(name, start, start)
            self.close(tag.start(), tag.end())
        self.end_of_last = tag.end()

    def begin(self, name: str, start: int, body_start: int) -> None:
        self.open, self.open_start, self.body_start = name, start, body_start
        if name == "thinking" and self.reading.answer is not None and not self.reading.has_thinking:
            self.fault("misplaced-block", start, "the thinking block follows the answer", "thinking, then answer")

    def close(self, body_end: int, end: int) -> None:
        reading, start = self.reading, self.body_start
        name, self.open, self.end_of_last = self.open, None, end
        is_repeated = reading.has_thinking if name == "thinking" else reading.answer is not None
        if is_repeated:
            self.fault("misplaced-block", self.open_start, f"a second {name} block", f"only one {name} block")
        elif name == "thinking":
            reading.has_thinking = True
            _read_calls(reading, start, body_end)
        else:
            self.take_answer(start, body_end)

    def take_answer(self, start: int, end: int) -> None:
        reading = self.reading
        while start < end and reading.text[start] in BLANKS:
            start += 1
        if end > start and reading.text[end - 1] == "\n":
            end -= 1
        reading.answer, reading.answer_start = reading.text[start:end], start
        if not reading.answer:
            self.fault("empty-answer", start, "the answer block is empty", "an answer for the user")

    def unclosed(self, body_end: int, before: str) -> None:
        name, start = self.open, self.open_start
        self.fault("unclosed-block", start, f"<{name}> is not closed before {before}", f"</{name}>")
        self.close(body_end, body_end)

    def fault(self, name: FaultName, start: int, message: str, expected: str, hint: str = "") -> None:
        self.reading.faults.append(FormFault(name, start, message, expected, hint))

    def note_outside(self) -> None:
        reading = self.reading
        pieces = [(start, reading.text[start:end]) for start, end in self.outside]
        written = [
            (start + len(piece) - len(piece.lstrip()), piece.strip()) for start, piece in pieces if piece.strip()
        ]
        reading.outside = "\n".join(piece for _, piece in written)
        if reading.has_thinking or reading.answer is not None:
            for start, piece in written:
                message = f"text outside the blocks: {piece[:40]!r}"
                self.fault("text-outside", start, message, "nothing but the two blocks", "move it into the answer")

    def note_missing(self) -> None:
        reading = self.reading
        if not reading.has_thinking:
            self.fault("no-thinking", 0, "there is no thinking block", "<thinking>")
        elif not reading.calls and not any(fault.name == "malformed-call" for fault in reading.faults):
            self.fault("empty-trace", 0, "the thinking block has no call", "[TOOL-NAME]: key=value; ...")
        if reading.answer is None:
            message = "there is no answer block"
            self.fault("no-answer", len(reading.text), message, "<answer>...</answer> after the trace")


def _read_calls(reading: Reading, start: int, end: int) -> None:
    for line in _LINE.finditer(reading.text, start, end):
        call = _CALL.match(reading.text, line.start(), line.end())
        if call:
            pairs = tuple(_read_pairs(reading, call.end(), line.end()))
            reading.calls.append(WrittenCall(call[1].strip(), reading.text.index("[", call.start()), pairs))
        elif (written := line[0].strip()) and written != "<thinking>":  # a nested tag has its fault already
            place = line.start() + line[0].index(written[0])
            message = f"this line is not a call: {written[:40]!r}"
            reading.faults.append(FormFault("malformed-call", place, message, "[TOOL-NAME]: key=value; key=value"))


def _read_pairs(reading: Reading, start: int, end: int) -> Iterator[WrittenPair]:
    text, place = reading.text, _skip(reading.text, start, end)
    while place < end:
        key = _KEY.match(text, place, end)
        if not key:
            reading.faults.append(FormFault("malformed-call", place, "expected a key here", "key=value"))
            place = _after_semicolon(text, place, end)
            continue
        literal, place = _read_literal(text, key.end(), end)
        yield WrittenPair(key[1], key.start(1), literal)
        place = _skip(text, place, end)
        if place < end and text[place] != ";":
            message = f"expected ';' or the end of the line before {text[place : min(end, place + 20)]!r}"
            reading.faults.append(FormFault("malformed-call", place, message, "key=value; key=value"))
        place = _after_semicolon(text, place, end)


def _skip(text: str, start: int, end: int) -> int:
    gap = _GAP.match(text, start, end)
    return gap.end() if gap else start


def _after_semicolon(text: str, start: int, end: int) -> int:
    semicolon = text.find(";", start, end)
    return end if semicolon < 0 else _skip(text, semicolon + 1, end)


def _read_literal(text: str, start: int, end: int) -> tuple[WrittenLiteral, int]:
    if text.startswith('"', start, end) and (string := _STRING.match(text, start, end)):
        return _string(string), string.end()
    if text.startswith("[", start, end):
        return _read_list(text, start, end)
    return _read_bare(text, start, end, _BARE_UNTIL)


def _string(match: re.Match[str]) -> WrittenLiteral:
    written = match[0]
    if "\\" not in written:
        return WrittenLiteral(Kind.STRING, written, written[1:-1], match.start())
    try:
        value = without_surrogates(json.loads(written, strict=False))
    except ValueError:
        return WrittenLiteral(Kind.UNREADABLE, written, None, match.start())
    return WrittenLiteral(Kind.STRING, written, value, match.start())


def _read_bare(text: str, start: int, end: int, until: re.Pattern[str]) -> tuple[WrittenLiteral, int]:
    match = until.match(text, start, end)
    word = match[0].rstrip() if match else ""
    place = start + len(word)
    if word in {"true", "false"}:
        return WrittenLiteral(Kind.FLAG, word, word == "true", start), place
    if _NUMBER.match(word):
        return WrittenLiteral(Kind.NUMBER, word, None, start), place
    kind = Kind.WORD if word and word.replace("_", "").replace("-", "").isalnum() else Kind.UNREADABLE
    return WrittenLiteral(kind, word, word if kind is Kind.WORD else None, start), place


def _read_list(text: str, start: int, end: int) -> tuple[WrittenLiteral, int]:
    items: list[WrittenLiteral] = []
    place = _skip(text, start + 1, end)
    while place < end and text[place] != "]":
        if text.startswith('"', place, end) and (string := _STRING.match(text, place, end)):
            items.append(_string(string))
            place = string.end()
        else:
            item, place = _read_bare(text, place, end, _ITEM_UNTIL)
            items.append(item)
        place = _skip(text, place, end)
        if text.startswith(",", place, end):
            place = _skip(text, place + 1, end)
        elif not text.startswith("]", place, end):
            break
    is_closed = text.startswith("]", place, end)
    place += is_closed
    kind = Kind.LIST if is_closed else Kind.UNREADABLE
    return WrittenLiteral(kind, text[start:place], None, start, tuple(items)), place
