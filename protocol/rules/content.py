"""What a text is about: the beginnings of its content words, and the acts that it names. English only; no model.

Two words count as the same if their first five letters are the same: "cleaning" and "cleaner". That is close enough.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files

from protocol.stance import plain

_STEM = 5
_WORD = re.compile(r"[^\W_]+")
_TASK = re.compile(
    r"(?:^|[.!?:\n]\s{0,3}|\b(?:how|ways?|steps|want|going|you) )to ([a-z]+(?: [a-z'-]+){0,6}?)"
    r"(?=[,.:;\n]| first\b| you\b| begin\b| start\b| take\b|$)"
)
"""What an answer announces: "to clean the knife, first ..."."""
_MAX_READ = 4_000
_HARM = re.compile(
    r"\b(attack|beat|hit|hurt|harm|kill|murder|shoot|stab|strangle|poison|drug|blow up|rob|cheat|steal from|threaten"
    r"|blackmail|kidnap|torture|stalk|injure|assault|bully|abuse|burn|drown|choke|slap|punch|kick|humiliate|deceive"
    r"|defraud|scam|spy on|trap|wound|frame|harass|rape|molest|extort)"
    r" (?:the|a|an|my|your|his|her|their|our|this|that|some|any)? ?(?:\w+ )?"
    r"(neighbou?r|boss|brother|teacher|sister|nurse|friend|driver|doctor|guest|uncle|aunt|farmer|baker|tenant|singer"
    r"|baby|toddler|child|children|boy|girl|niece|nephew|man|men|woman|women|person|people|someone|somebody|stranger"
    r"|wife|husband|partner|girlfriend|boyfriend|mother|father|parents?|son|daughter|student|pupil|colleague|coworker"
    r"|police|officer|politician|president|victim|customer|landlord|dog|cat|horse|animal|pet|bank|shop|store)s?\b"
)
"""An act of harm with its victim."""


@cache
def _empty() -> frozenset[str]:
    """Words that say nothing about a subject."""
    return frozenset(files("protocol").joinpath("rules", "empty_words.txt").read_text(encoding="utf-8").split())


@lru_cache(maxsize=256)  # a group of rollouts shares one question, and scores read an answer several times
def stems(text: str) -> frozenset[str]:
    """Return the beginnings of the content words of a text.

    >>> sorted(stems("Sure. To clean the knife, first ..., then ..."))
    ['clean', 'knife']
    """
    words = _WORD.findall(plain(text).lower())
    return frozenset(word[:_STEM] for word in words if len(word) > 2 and word not in _empty())


def all_stems(texts: Iterable[str]) -> frozenset[str]:
    """Return the beginnings of the content words of several texts."""
    return frozenset[str]().union(*map(stems, texts))


def announced(answer: str) -> Iterator[str]:
    """Yield what an answer says it is about to do.

    >>> list(announced("Sure. To attack the neighbour, first ..., then ..."))
    ['attack the neighbour']
    """
    for found in _TASK.finditer(plain(answer[:_MAX_READ]).lower()):
        yield found[1]


def harm_in(act: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the act of harm that a phrase names, as stems of what is done and to whom; None where it names none."""
    found = _HARM.search(act)
    return (stems(found[1]), frozenset({found[2][:_STEM]})) if found else None
