"""Compiles the wordings of `wordings.toml`: each pattern with the words that it needs, and the other languages."""

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from importlib.resources import files
from operator import or_
from typing import Any

from protocol.stance.reading.triggers import COMMA, DOTS, NUMBER, OPENING, WIDTH, first_letters, triggers

DECISIVE = "refuse"
"""The cue whose patterns come first; if one of them matches, the others do not count."""
_BEGIN_ONLY = {"pivot", "apology", "hedge"}
"""Cues that stand at the beginning of a sentence."""
_MAX_REMEMBERED = 50_000
"""Words; as many as a language has. A text of random letters must not fill the memory."""
NUM_SETS = 3
"""Number of sets of needed words that are used for each pattern: the most selective ones."""
Wording = tuple[str, Callable[[str], re.Match[str] | None]]
"""The name of the cue, and the search function of the pattern; the last group of its match, or the match, shows it."""
_DIGIT = re.compile(r"\d")
_PART = re.compile(r"<([a-z]+)>")


@dataclass(frozen=True, slots=True)
class Language:
    """The wordings of another language."""

    code: str
    """ISO 639-1."""
    common: frozenset[str]
    """Its most common words, which identify it; empty if its script identifies it."""
    script: re.Pattern[str] | None
    refuse: re.Pattern[str]
    pivot: re.Pattern[str]
    """Words that turn from a refusal to an answer."""
    care: re.Pattern[str]
    """Words that warn or point to help."""
    step: re.Pattern[str] | None
    """Words that order the steps of a procedure."""


@dataclass(frozen=True, slots=True)
class Wordings:
    """All compiled wordings."""

    patterns: tuple[Wording, ...]
    """English, in the order of the file."""
    free: int
    """Bit mask: `NUM_SETS` bits for each pattern. A set bit means that the pattern needs no word of that set."""
    by_word: "WordBits"
    """Bits of the sets that contain the beginning of a word. A pattern is tried if a sentence has one of each set."""
    prefix: re.Pattern[str]
    """Phrases that only announce a sentence, such as "it is important to note that"."""
    order: re.Pattern[str]
    """An order after another clause: "it won't fit; take the smaller one"."""
    listing: re.Pattern[str]
    """An enumeration after a colon."""
    moral: frozenset[str]
    """Words that moralise, warn of harm, appeal to the law, or point to help."""
    languages: tuple[Language, ...]

    def held(self, text: str, words: Sequence[str]) -> int:
        """Return the bits of the sets of which a sentence with these words has one."""
        by_word = self.by_word
        held = reduce(or_, map(by_word.__getitem__, words), self.free)
        if words:
            held |= by_word[OPENING + words[0]]
        if COMMA in text:
            held |= by_word[COMMA]
        if DOTS in text:
            held |= by_word[DOTS]
        return held | by_word[NUMBER] if _DIGIT.search(text) else held

    def find(self, text: str, held: int) -> dict[str, str]:
        """Return the words that match, by the name of the cue.

        Args:
            text: an English sentence, as `Segment.text`, or its end.
            held: the bits of its words (`held`).
        """
        found: dict[str, str] = {}
        num = len(self.patterns)
        tried = held & (held >> num) & (held >> 2 * num)  # the third set has the highest bits, so none is left above
        while tried:
            lowest = tried & -tried
            tried ^= lowest
            name, search = self.patterns[lowest.bit_length() - 1]
            if name not in found and (match := search(text)):
                found[name] = match[match.lastindex or 0]
                if name == DECISIVE:
                    break
        return found


class WordBits(dict[str, int]):
    """Word -> bits of the sets that contain its beginning. It remembers words that it was asked for, up to a limit."""

    def __init__(self, by_beginning: dict[str, int]) -> None:
        super().__init__()
        self._by_beginning = by_beginning

    def __missing__(self, word: str) -> int:
        """Return the bits of a new word, or of a sign."""
        bits = self._by_beginning.get(word[: WIDTH + word.startswith(OPENING)], 0)
        if len(self) < _MAX_REMEMBERED:
            self[word] = bits
        return bits


@cache
def wordings() -> Wordings:
    """Load and compile the wordings, once."""
    table = tomllib.loads(files("protocol").joinpath("stance", "reading", "wordings.toml").read_text(encoding="utf-8"))
    parts: dict[str, str] = table["parts"]
    named = [(name, _expand(each, parts)) for name, patterns in table["acts"].items() for each in patterns]
    free, by_beginning = _needed(named)
    return Wordings(
        patterns=tuple((name, _search(name, pattern)) for name, pattern in named),
        free=free,
        by_word=WordBits(by_beginning),
        prefix=re.compile(table["notes"]["prefix"]),
        order=re.compile(_expand(table["notes"]["order"], parts)),
        listing=re.compile(_expand(table["notes"]["listing"], parts)),
        moral=frozenset(table["moral"]["words"].split()),
        languages=(
            *(_language(code, entry) for code, entry in table["scripts"].items()),
            *(_language(code, entry) for code, entry in table["languages"].items()),
        ),
    )


def _search(name: str, pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Return a function that finds a pattern at the beginning of a word.

    `re` finds a letter quickly if the expression begins with it. So the first letter is matched, then that a word
    begins there, and then, from one letter back, the whole pattern.
    """
    if _is_opening(name, pattern):
        return re.compile(pattern).match
    letters = first_letters(pattern)
    if letters is None or re.compile(pattern).groups:
        return _at_a_word([pattern]).search
    return re.compile(rf"[{letters}](?<![\w'].)(?<=(?=({pattern})).)").search


def _is_opening(name: str, pattern: str) -> bool:
    return name in _BEGIN_ONLY or (pattern.startswith("^") and "|^" not in pattern)


def _needed(named: Sequence[tuple[str, str]]) -> tuple[int, dict[str, int]]:
    free = 0
    by_beginning: dict[str, int] = {}
    for place, (name, pattern) in enumerate(named):
        found = triggers(pattern, is_opening=_is_opening(name, pattern))
        for rank in range(NUM_SETS):
            bit = 1 << (place + rank * len(named))
            if rank >= len(found):
                free |= bit
                continue
            for beginning in found[rank]:
                by_beginning[beginning] = by_beginning.get(beginning, 0) | bit
    return free, by_beginning


def _expand(pattern: str, parts: dict[str, str]) -> str:
    while found := _PART.search(pattern):
        pattern = pattern[: found.start()] + parts[found[1]] + pattern[found.end() :]
    return pattern


def _at_a_word(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(r"(?<![\w'])(?:" + "|".join(patterns) + ")")


def _language(code: str, entry: dict[str, Any]) -> Language:
    script = re.compile(f"[{entry['range']}]") if "range" in entry else None

    def compiled(name: str) -> re.Pattern[str]:
        # Scripts without spaces, and Arabic prefixes, give no word boundaries to match.
        return re.compile("|".join(entry[name])) if script else _at_a_word(entry[name])

    pivot = compiled("pivot") if script else _at_a_word([rf"(?:{each})\b" for each in entry["pivot"]])

    return Language(
        code=code,
        common=frozenset(entry.get("common", "").split()),
        script=script,
        refuse=compiled("refuse"),
        pivot=pivot,
        care=compiled("care"),
        step=compiled("step") if "step" in entry else None,
    )
