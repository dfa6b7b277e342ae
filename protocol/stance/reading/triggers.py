"""Finds the words that every match of a pattern must contain, so that hundreds of patterns can be tried quickly.

Each pattern of `wordings.toml` begins at the start of a word. `triggers` derives sets of word beginnings from the
parsed pattern; every match contains one beginning of each set. A sentence without them need not be searched. The sets
are always derived and never written by hand, so that a wording is changed in one place.
"""

import re
from collections.abc import Sequence
from re import _constants as codes
from re import _parser as parser
from typing import Any

WIDTH = 4
"""Number of characters of a word that are compared."""
DOTS, NUMBER, COMMA, OPENING = "...", "0", ",", "^"
"""Signs for three dots, for any number, for a comma, and before the first word."""
_WORDS = re.compile(r"\w+")
_SPACED = bytes(code if _WORDS.match(chr(code)) else ord(" ") for code in range(256))
"""Translates ASCII; of bytes, because `str.translate` looks up each different letter again for every text."""
_MAX_BEGINNINGS = 400
_COMMON = frozenset({
    *("a", "an", "and", "are", "as", "be", "can", "do", "for", "i", "if", "in", "is", "it", "no", "not", "of", "on"),
    *("or", "s", "t", "that", "the", "this", "to", "we", "will", "you", "your", COMMA),
})  # fmt: skip
"""In most sentences. They are used last, because they exclude few sentences."""

Beginnings = frozenset[str]


def triggers(pattern: str, *, is_opening: bool = False) -> tuple[Beginnings, ...]:
    r"""Return sets of word beginnings; every match has a word from each set. The most selective set comes first.

    >>> [sorted(each) for each in triggers(r"i (?:can't|won't) (?:help|say)\w*")]
    [['i'], ['can', 'won']]
    >>> triggers(r"\w+ing")
    ()

    A pattern for the opening of a sentence also needs one of its beginnings as the first word, which has a mark.

    >>> [sorted(each) for each in triggers(r"(?:but|though)\b", is_opening=True)]
    [['^but', '^thou'], ['but', 'thou']]
    """
    items = list(parser.parse(pattern))
    found = sorted(set(_required(items, is_word_start=True)), key=_cost)
    if is_opening and (begun := _beginnings(items)):
        return (frozenset(OPENING + each for each in begun), *found)
    return tuple(found)


def first_letters(pattern: str) -> str | None:
    r"""Return the letters with which a match can begin; None if it can begin with anything else.

    >>> first_letters(r"(?:we|i),? (?:can't|won't)"), first_letters(r"\d+ g")
    ('iw', None)
    """
    found = _spelt(list(parser.parse(pattern)), 1)
    if found is None or not all(text.isalpha() for text, _ in found):
        return None
    return "".join(sorted(text for text, _ in found))


def words_of(text: str) -> list[str]:
    r"""Return what `\\w+` finds in a text, in a quarter of the time if it is ASCII.

    >>> words_of("i can't: no_one"), words_of("ça va")
    (['i', 'can', 't', 'no_one'], ['ça', 'va'])
    """
    return text.encode().translate(_SPACED).decode().split() if text.isascii() else _WORDS.findall(text)


def _required(items: Sequence[Any], *, is_word_start: bool) -> list[Beginnings]:
    """Return sets of beginnings; a match contains one member of each set."""
    found: list[Beginnings] = []
    for place, (kind, value) in enumerate(items):
        if [(codes.LITERAL, ord("."))] * len(DOTS) == [tuple(each) for each in items[place : place + len(DOTS)]]:
            found.append(frozenset({DOTS}))
        if kind is codes.LITERAL and value == ord(COMMA):
            found.append(frozenset({COMMA}))
        if (
            kind is codes.MAX_REPEAT
            and value[0]
            and list(value[2]) == [(codes.IN, [(codes.CATEGORY, codes.CATEGORY_DIGIT)])]
        ):
            found.append(frozenset({NUMBER}))
        if is_word_start and (begun := _beginnings(items[place:])):
            found.append(begun)
        found += _inside(kind, value, is_word_start)
        is_word_start = _ends_a_word(kind, value, is_word_start)
    return found


def _ends_a_word(kind: Any, value: Any, is_word_start: bool) -> bool:
    """Whether a word starts after an item, given whether one starts before it."""
    if kind is codes.LITERAL:
        return not _is_word(value)
    if kind is codes.SUBPATTERN:
        return _all_end(value[-1], is_word_start)
    if kind is codes.BRANCH:
        return all(_all_end(each, is_word_start) for each in value[1])
    if kind is codes.MAX_REPEAT:
        return _all_end(value[2], is_word_start) and bool(value[0] or is_word_start)
    if kind is codes.AT and value is codes.AT_BOUNDARY:
        return True  # a letter after a boundary begins a word
    return is_word_start and kind in {codes.ASSERT, codes.ASSERT_NOT, codes.AT}


def _all_end(items: Any, is_word_start: bool) -> bool:
    for kind, value in items:
        is_word_start = _ends_a_word(kind, value, is_word_start)
    return is_word_start


def _inside(kind: Any, value: Any, is_word_start: bool) -> list[Beginnings]:
    if kind is codes.MAX_REPEAT:
        return _required(list(value[2]), is_word_start=is_word_start) if value[0] else []
    if kind is codes.SUBPATTERN:
        return _required(list(value[-1]), is_word_start=is_word_start)
    if kind is not codes.BRANCH:
        return []
    ways = [_required(list(each), is_word_start=is_word_start) for each in value[1]]
    # Each alternative has its own sets; together, only the union of their best sets is certain.
    return [frozenset[str]().union(*(min(way, key=_cost) for way in ways))] if all(ways) else []


def _cost(beginnings: Beginnings) -> tuple[int, int, list[str]]:
    return len(beginnings & _COMMON), len(beginnings), sorted(beginnings)


def _beginnings(items: Sequence[Any]) -> Beginnings | None:
    """Return the beginnings of the word that starts here; None if they cannot be listed."""
    found = _spelt(items, WIDTH)
    if found is None or len(found) > _MAX_BEGINNINGS:
        return None
    # An unfinished beginning that is shorter than the compared width would never be equal to one.
    is_usable = all(text and (is_whole or len(text) == WIDTH) for text, is_whole in found)
    return frozenset(text for text, _ in found) if is_usable else None


def _spelt(items: Sequence[Any], width: int) -> set[tuple[str, bool]] | None:
    """Return the possible spellings from here, up to `width` letters, and whether the word ends there."""
    if not items:
        return {("", False)}
    (kind, value), rest = items[0], items[1:]
    if kind in {codes.ASSERT, codes.ASSERT_NOT, codes.AT}:
        is_end = kind is codes.AT and value is codes.AT_BOUNDARY
        return {("", True)} if is_end else _spelt(rest, width)
    heads = _heads(kind, value, width)
    if heads is None:
        return None
    found: set[tuple[str, bool]] = set()
    for head, is_whole in heads:
        if is_whole or len(head) >= width:
            found.add((head[:width], is_whole or len(head) >= width))
            continue
        tails = _spelt(rest, width - len(head))
        if tails is None or len(found) > _MAX_BEGINNINGS:
            return None
        found |= {(head + tail, is_end) for tail, is_end in tails}
    return found


def _heads(kind: Any, value: Any, width: int) -> set[tuple[str, bool]] | None:
    """Return the possible spellings of one item; None if there is no limit."""
    if kind in {codes.LITERAL, codes.IN}:
        letters = [(kind, value)] if kind is codes.LITERAL else value
        if any(each is not codes.LITERAL for each, _ in letters):
            return None
        return {(chr(letter), False) if _is_word(letter) else ("", True) for _, letter in letters}
    if kind in {codes.SUBPATTERN, codes.BRANCH}:
        ways = [value[-1]] if kind is codes.SUBPATTERN else value[1]
        found = [_spelt(list(each), width) for each in ways]
        return None if any(each is None for each in found) else set().union(*filter(None, found))
    return _repeated(value, width) if kind is codes.MAX_REPEAT else None


def _repeated(repeat: tuple[int, int, Any], width: int) -> set[tuple[str, bool]] | None:
    least, most, inner = repeat
    once = _spelt(list(inner), width)
    if once is None or (most > 1 and any(not is_whole and len(text) < width for text, is_whole in once)):
        return None
    return once if least else once | {("", False)}


def _is_word(letter: int) -> bool:
    return chr(letter).isalnum() or chr(letter) == "_"
