"""The lines of a thinking block as calls, and each call's line as pairs: what can be read is read, the rest is a fault.

A line with a tool's name and pairs is a call even if its brackets or its colon are wrong, and two pairs are two even if
the semicolon between them is missing. So one slip is one fault, and the rules see the call that was meant.
"""

import re
from collections.abc import Iterator

from protocol.keys.literals import LiteralKind, WrittenLiteral
from protocol.response.reading import Reading, WrittenCall, WrittenPair
from protocol.response.values import FORGOTTEN_SEMICOLON, NAME, NUMERAL, read_literal, skip_gap, word_literal

_LINE = re.compile(r"[^\n]+")
_CALL = re.compile(r"[ \t\r]*+\[([^\[\]\n]*+)\][ \t]*+:[ \t\r]*+")
_TOOL_NAME = r"[A-Z][A-Z0-9]*+(?:-[A-Z0-9]++)*+"
_ALMOST_CALL = re.compile(
    rf"[^\S\n]*+[^A-Za-z\n]{{0,8}}({_TOOL_NAME})(?:[^A-Za-z\n]{{1,8}}(?={NAME}[ \t]*+=)|[^\w\n\"=]{{1,8}}\Z)"
)
_KEY = re.compile(rf"({NAME})[ \t]*+=[ \t]*+")
_PLAIN_PAIR = re.compile(
    rf'({NAME})[ \t]*+=[ \t]*+(?:("[^"\\\n]*+")|({NUMERAL}(?![\w.+-])|[A-Za-z][A-Za-z0-9_-]*+))'
    r"[ \t\r]*+(?:;[ \t\r]*+|\Z)"
)
"""The form of nearly every pair: a string without escapes, a number or a word, and then a semicolon or the end."""
_PAIR_SOMEWHERE = re.compile(rf"(?<![\w-]){NAME}[ \t]*+=")
_SHOWN = 40
MAX_PAIRS = 256
"""Most pairs and faults that are read of one line: a tool has a few keys, a collapsed policy writes thousands."""
MAX_LINES = 1_000
"""Most calls and faults that are read of a trace, for the same reason."""


def read_calls(reading: Reading, start: int, end: int) -> None:
    """Add the calls of a part of the text to the reading."""
    text = reading.text
    for line in _LINE.finditer(text, start, end):
        if len(reading.calls) + len(reading.faults) >= MAX_LINES:
            message = f"the trace goes on after {MAX_LINES} calls and faults; the rest is not read"
            reading.fault("malformed-call", line.start(), message, "a short trace")
            return
        if call := _CALL.match(text, line.start(), line.end()):
            opening = text.index("[", call.start())
        elif not (written := line[0].strip()) or written == "<thinking>":  # a nested tag has its fault already
            continue
        else:
            opening = line.start() + line[0].index(written[0])
            call = _ALMOST_CALL.match(text, line.start(), line.end())
            _fault_line(reading, opening, written, call)
        if call:
            is_prose = _is_prose(text, call.end(), line.end())
            pairs = () if is_prose else tuple(_read_pairs(reading, call.end(), line.end()))
            reading.calls.append(WrittenCall(call[1].strip(), opening, pairs, is_prose))
    _fault_prose(reading)


def _is_prose(text: str, start: int, end: int) -> bool:
    """Whether a call goes on in words, as the published surface form does, without a single pair."""
    is_empty = not text[start:end].strip()
    return not is_empty and not _PAIR_SOMEWHERE.search(text, start, end)


def _fault_prose(reading: Reading) -> None:
    """Report one fault for all calls that are written in words."""
    prose = [call for call in reading.calls if call.is_prose]
    if not prose:
        return
    which = "this call is" if len(prose) == 1 else f"{len(prose)} calls are"
    message = f"this plan types its calls; {which} written in words, such as {prose[0].name[:_SHOWN]}"
    hint = "state each key of the tool; words have their place in text keys such as reason"
    reading.fault("malformed-call", prose[0].start, message, "[TOOL-NAME]: key=value; key=value", hint)


def _fault_line(reading: Reading, place: int, written: str, call: re.Match[str] | None) -> None:
    if call:
        found = reading.text[place : call.end()].strip()
        message = f"a call does not begin with {found[:_SHOWN]!r}"
        reading.fault("malformed-call", place, message, f"[{call[1]}]: key=value; key=value")
    else:
        message = f"this line is not a call: {written[:_SHOWN]!r}"
        reading.fault("malformed-call", place, message, "[TOOL-NAME]: key=value; key=value")


def _read_pairs(reading: Reading, start: int, end: int) -> Iterator[WrittenPair]:
    text, place, count = reading.text, start, 0
    while place < end:
        count += 1
        if count > MAX_PAIRS:
            message = f"the line goes on after {MAX_PAIRS} pairs; the rest is not read"
            reading.fault("malformed-call", place, message, "key=value; key=value")
            return
        if plain := _PLAIN_PAIR.match(text, place, end):
            yield WrittenPair(plain[1], place, _plain_literal(plain))
            place = plain.end()
        elif key := _KEY.match(text, place, end):
            literal, place = read_literal(text, key.end(), end)
            yield WrittenPair(key[1], key.start(), literal)
            place = _next_pair(reading, place, end)
        else:
            reading.fault("malformed-call", place, "expected a key here", "key=value")
            place = _after_semicolon(text, place, end)


def _plain_literal(pair: re.Match[str]) -> WrittenLiteral:
    if string := pair[2]:
        return WrittenLiteral(LiteralKind.STRING, string, string[1:-1], pair.start(2))
    return word_literal(pair[3], pair.start(3))


def _next_pair(reading: Reading, start: int, end: int) -> int:
    """Return where the next pair begins; anything but a semicolon before it is a fault."""
    text, place = reading.text, skip_gap(reading.text, start, end)
    if place < end and text[place] != ";":
        rest = text[place : min(end, place + _SHOWN // 2)]
        message = f"expected ';' or the end of the line before {rest!r}"
        slip = FORGOTTEN_SEMICOLON.match(text, start, end)
        hint = r"inside a string, write \" for a quote" if text[start - 1] == '"' and not slip else ""
        hint = "write ; between pairs, not a comma" if text[place] == "," and slip else hint
        reading.fault("malformed-call", place, message, "key=value; key=value", hint)
        if slip:
            return slip.end()
    return _after_semicolon(text, place, end)


def _after_semicolon(text: str, start: int, end: int) -> int:
    semicolon = text.find(";", start, end)
    return end if semicolon < 0 else skip_gap(text, semicolon + 1, end)
