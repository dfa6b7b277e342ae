"""The wordings of `wordings.toml`, compiled: each pattern with the words it cannot do without, a few a language."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from protocol.stance.triggers import triggers

DECISIVE = "refuse"
"""The cue whose patterns come first; where one matches, no other counts."""
_BEGIN_ONLY = {"pivot", "apology", "hedge"}
"""Cues that a sentence has to begin with."""
_NUM_NEEDED = 3
"""Sets of beginnings of words that are asked for, of those that a pattern has."""
Wording = tuple[str, Callable[[str], re.Match[str] | None]]
"""The name of the cue, and the search for a pattern."""
_PART = re.compile(r"<([a-z]+)>")


@dataclass(frozen=True, slots=True)
class Language:
    """How another language refuses."""

    code: str
    """ISO 639-1."""
    common: frozenset[str]
    """Its most common words, by which it is recognised; empty where a script of its own tells it."""
    script: re.Pattern[str] | None
    refuse: re.Pattern[str]
    pivot: re.Pattern[str]
    """Words that turn from refusing to answering."""
    care: re.Pattern[str]
    """Words of warning and of pointing to help."""
    step: re.Pattern[str] | None
    """Words that order a procedure."""


@dataclass(frozen=True, slots=True)
class Wordings:
    """All of them."""

    patterns: tuple[Wording, ...]
    """English, in the order of the file."""
    needed: tuple[tuple[int, dict[str, int]], ...]
    """What a sentence must have for a pattern to be tried; patterns are bits by their place. Each member has the
    patterns that ask for nothing, and the others by beginnings of words, of which one must be there."""
    prefix: re.Pattern[str]
    """What only announces a sentence, such as "it is important to note that"."""
    moral: frozenset[str]
    """Words that preach, warn of harm, appeal to law, or point to care."""
    languages: tuple[Language, ...]

    def find(self, text: str, beginnings: AbstractSet[str]) -> dict[str, str]:
        """Return the words that match, by the name of the cue.

        Args:
            text: an English sentence, as `Segment.text`.
            beginnings: of its words (`protocol.stance.triggers.prefixes`).
        """
        found: dict[str, str] = {}
        tried = -1
        for free, by_beginning in self.needed:
            allowed = free
            for beginning in beginnings:
                if beginning in by_beginning:
                    allowed |= by_beginning[beginning]
            tried &= allowed
        while tried:
            lowest = tried & -tried
            tried ^= lowest
            name, search = self.patterns[lowest.bit_length() - 1]
            if name not in found and (match := search(text)):
                found[name] = match[0]
                if name == DECISIVE:
                    break
        return found


@cache
def wordings() -> Wordings:
    """Load and compile the wordings, once."""
    table = tomllib.loads(files("protocol").joinpath("stance", "wordings.toml").read_text(encoding="utf-8"))
    parts: dict[str, str] = table["parts"]
    named = [(name, _expand(each, parts)) for name, patterns in table["acts"].items() for each in patterns]
    return Wordings(
        patterns=tuple((name, _search(name, pattern)) for name, pattern in named),
        needed=_needed([pattern for _, pattern in named]),
        prefix=re.compile(table["notes"]["prefix"]),
        moral=frozenset(table["moral"]["words"].split()),
        languages=(
            *(_language(code, entry) for code, entry in table["scripts"].items()),
            *(_language(code, entry) for code, entry in table["languages"].items()),
        ),
    )


def _search(name: str, pattern: str) -> Callable[[str], re.Match[str] | None]:
    is_begin = name in _BEGIN_ONLY or (pattern.startswith("^") and "|^" not in pattern)
    return re.compile(pattern).match if is_begin else _at_a_word([pattern]).search


def _needed(patterns: Sequence[str]) -> tuple[tuple[int, dict[str, int]], ...]:
    sets = [triggers(pattern) for pattern in patterns]
    made = []
    for rank in range(_NUM_NEEDED):
        free, by_beginning = 0, defaultdict[str, int](int)
        for place, found in enumerate(sets):
            free |= 0 if rank < len(found) else 1 << place
            for beginning in found[rank] if rank < len(found) else ():
                by_beginning[beginning] |= 1 << place
        made.append((free, dict(by_beginning)))
    return tuple(made)


def _expand(pattern: str, parts: dict[str, str]) -> str:
    while found := _PART.search(pattern):
        pattern = pattern[: found.start()] + parts[found[1]] + pattern[found.end() :]
    return pattern


def _at_a_word(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(r"(?<![\w'])(?:" + "|".join(patterns) + ")")


def _language(code: str, entry: dict[str, Any]) -> Language:
    script = re.compile(f"[{entry['range']}]") if "range" in entry else None

    def compiled(name: str) -> re.Pattern[str]:
        # Scripts without spaces, and prefixes in Arabic, have no borders of words to hold on to.
        return re.compile("|".join(entry[name])) if script else _at_a_word(entry[name])

    return Language(
        code=code,
        common=frozenset(entry.get("common", "").split()),
        script=script,
        refuse=compiled("refuse"),
        pivot=compiled("pivot"),
        care=compiled("care"),
        step=compiled("step") if "step" in entry else None,
    )
