"""From a place after `key=` to the literal that stands there, however badly it is spelt.

One slip is one unreadable literal: a string without its closing quote ends before the next `; key=`, a list without its
bracket ends before the next `;`, and text in other quotes is taken as a whole. Reading never goes beyond the line, and
looks at each character a bounded number of times.
"""

import json
import re

from protocol.keys.literals import MAX_ITEMS, LiteralKind, WrittenLiteral, without_surrogates

NAME = r"[A-Za-z_][A-Za-z0-9_-]*+"
NUMERAL = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]{1,4})?"
BLANKS = " \t\r"
GAP = re.compile(rf"[{BLANKS}]*+")
FORGOTTEN_SEMICOLON = re.compile(rf"(?<![ \t,])[ \t,]++(?={NAME}=[\[\"'A-Za-z0-9-])")
"""Between two pairs that nothing but blanks or a comma separates."""
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_OPEN_LIST = re.compile(r'"(?:[^"\\\n]|\\.)*+"[ \t]*+,[ \t]*+"')
_SWALLOWED = re.compile(rf";[ \t]*+{NAME}[ \t]*+=")
_OTHER_QUOTES = re.compile(r"'[^'\n]*+'|‘[^’\n]*+’|“[^”\n]*+”|`[^`\n]*+`")
_NUMBER = re.compile(rf"{NUMERAL}\Z")
_BARE_END = re.compile(rf"[;\n]|{FORGOTTEN_SEMICOLON.pattern}")
"""One search for whichever comes first: looking for the semicolon first would read a long line once for every pair."""
_ITEM_UNTIL = re.compile(r"[^,\];\n]*+")
_NESTED = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[\[\];]')


def read_literal(text: str, start: int, end: int) -> tuple[WrittenLiteral, int]:
    """Return the literal that starts at `start`, and the offset behind it; `end` is the end of the line."""
    if text.startswith("[", start, end):
        return _read_list(text, start, skip_gap(text, start + 1, end), end)
    if _OPEN_LIST.match(text, start, end):
        return _read_list(text, start, start, end)
    return _quoted(text, start, end, ";") or _bare(text, start, _end_of_bare(text, start, end))


def skip_gap(text: str, start: int, end: int) -> int:
    """Return the offset of the next character that is no blank."""
    gap = GAP.match(text, start, end)
    return gap.end() if gap else start


def word_literal(word: str, start: int) -> WrittenLiteral:
    """Return an unquoted value: a flag, a number, a word, or an unreadable literal."""
    if word in {"true", "false"}:
        return WrittenLiteral(LiteralKind.FLAG, word, word == "true", start)
    if _NUMBER.match(word):
        return WrittenLiteral(LiteralKind.NUMBER, word, None, start)
    if word.replace("_", "").replace("-", "").isalnum():
        return WrittenLiteral(LiteralKind.WORD, word, word, start)
    return WrittenLiteral(LiteralKind.UNREADABLE, word, None, start)


def _quoted(text: str, start: int, end: int, closers: str) -> tuple[WrittenLiteral, int] | None:
    """Read what begins with a quote of any kind, or return None."""
    if string := _STRING.match(text, start, end):
        if _is_closed(text, string.end(), end, closers):
            return _string(string), string.end()
        if swallowed := _SWALLOWED.search(text, start, string.end()):
            return _bare(text, start, swallowed.start())
        return _string(string), string.end()
    other = _OTHER_QUOTES.match(text, start, end)
    if other and _is_closed(text, other.end(), end, closers):
        return WrittenLiteral(LiteralKind.UNREADABLE, other[0], None, start), other.end()
    return None


def _is_closed(text: str, place: int, end: int, closers: str) -> bool:
    place = skip_gap(text, place, end)
    return place == end or text[place] in closers


def _string(match: re.Match[str]) -> WrittenLiteral:
    written = match[0]
    if "\\" not in written:
        return WrittenLiteral(LiteralKind.STRING, written, written[1:-1], match.start())
    try:
        value = without_surrogates(json.loads(written, strict=False))
    except ValueError:
        return WrittenLiteral(LiteralKind.UNREADABLE, written, None, match.start())
    return WrittenLiteral(LiteralKind.STRING, written, value, match.start())


def _end_of_bare(text: str, start: int, end: int) -> int:
    stop = _BARE_END.search(text, start, end)
    return stop.start() if stop else end


def _bare(text: str, start: int, stop: int) -> tuple[WrittenLiteral, int]:
    word = text[start:stop].rstrip(BLANKS)
    return word_literal(word, start), start + len(word)


def _read_list(text: str, start: int, place: int, end: int) -> tuple[WrittenLiteral, int]:
    """Read a list whose first item is at `place`: behind the bracket at `start`, or there where that is missing."""
    items: list[WrittenLiteral] = []
    is_sound = place > start
    while place < end and text[place] not in "];" and len(items) <= MAX_ITEMS:
        if text[place] == ",":  # nothing stands there; said at once, as collapsed policies write many
            items.append(WrittenLiteral(LiteralKind.UNREADABLE, "", None, place))
        else:
            item, place = _read_item(text, place, end)
            items.append(item)
        place = skip_gap(text, place, end)
        if text.startswith(",", place, end):
            place = skip_gap(text, place + 1, end)
        elif place < end and text[place] not in "];":
            is_sound = False  # a comma is missing; going on keeps that one fault
    if len(items) > MAX_ITEMS:
        place = _close_of_list(text, place, end)
    is_closed = text.startswith("]", place, end)
    place += is_closed
    spelling = text[start:place].rstrip(BLANKS)
    kind = LiteralKind.LIST if is_closed and is_sound else LiteralKind.UNREADABLE
    return WrittenLiteral(kind, spelling, None, start, tuple(items)), start + len(spelling)


def _read_item(text: str, start: int, end: int) -> tuple[WrittenLiteral, int]:
    if text.startswith("[", start, end):
        stop = _close_of_list(text, start + 1, end)
        stop += text.startswith("]", stop, end)
        return WrittenLiteral(LiteralKind.LIST, text[start:stop].rstrip(BLANKS), None, start), stop
    if quoted := _quoted(text, start, end, ",];"):
        return quoted
    until = _ITEM_UNTIL.match(text, start, end)
    return _bare(text, start, until.end() if until else start)


def _close_of_list(text: str, start: int, end: int) -> int:
    """Return the offset of the bracket that closes the list around `start`, or of the `;` or the end before it."""
    depth = 1
    for token in _NESTED.finditer(text, start, end):
        depth += {"[": 1, "]": -1}.get(token[0], 0)
        if depth == 0 or token[0] == ";":
            return token.start()
    return end
