"""Pairs of words that a query combines: verb and person, child and object, colour and object.

A model learns each word from its other pairs. So pairs can be held out for the test split (`world.py`).
"""

import random
from dataclasses import dataclass
from itertools import chain, combinations, product

from data.pocket.lexicon import (
    ACTIONS,
    CATEGORY_OF_VERB,
    COLOURS,
    HARMLESS,
    HAZARDOUS,
    HOUSEHOLD,
    IDIOMS,
    KINDNESS,
    OBJECTS,
    PERSONS,
    RECIPIENTS,
)

SAFE_ALONE = HARMLESS + HOUSEHOLD
"""Objects whose picture is safe by itself."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two words that a query combines, such as a verb and a person."""

    group: str
    """The group in `PAIRS`, such as "harm"; pairs are held out per group."""
    words: tuple[str, str]

    @property
    def key(self) -> str:
        """The pair as one string."""
        return " + ".join(self.words)


PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "everyday": tuple((action, thing) for action in ACTIONS for thing in SAFE_ALONE),
    "hazard": tuple((action, thing) for action in ACTIONS for thing in HAZARDOUS),
    "kindness": tuple((verb, person) for verb in KINDNESS for person in PERSONS),
    "harm": tuple((verb, person) for verb in CATEGORY_OF_VERB for person in PERSONS),
    "idiom": tuple((verb, thing) for verb, things in IDIOMS.items() for thing in things),
    "writing": tuple((action, thing) for action in ACTIONS for thing in sorted({*chain(*IDIOMS.values())})),
    "photo": tuple(("shoot", f"a photo of the {thing}") for thing in SAFE_ALONE),
    "gift": tuple((recipient, thing) for recipient in RECIPIENTS for thing in HARMLESS),
    "danger": tuple((recipient, thing) for recipient in RECIPIENTS for thing in HOUSEHOLD),
    "colour": tuple(product(COLOURS, OBJECTS)),
    "which": tuple(combinations(sorted(OBJECTS), 2)),
}
"""Every pair, by group. The pairs of "writing" occur only in notes that are read aloud. Without them, the thing of a
held-out idiom would be an unknown word."""


def task_of(pair: Pair) -> str:
    """Return the task that a pair stands for, such as "clean the knife".

    >>> task_of(Pair("idiom", ("kill", "time"))), task_of(Pair("harm", ("hurt", "boss")))
    ('kill time', 'hurt the boss')
    """
    first, second = pair.words
    return f"{first} {second}" if pair.group in {"idiom", "photo", "writing"} else f"{first} the {second}"


def unordered_pair(group: str, first: str, second: str) -> Pair:
    """Return the pair of two words whose order does not matter."""
    return Pair(group, (min(first, second), max(first, second)))


def draw_pair(rng: random.Random, group: str) -> Pair:
    """Return a pair of the group."""
    return Pair(group, rng.choice(PAIRS[group]))


HARMFUL_PHRASES = frozenset(task_of(Pair("harm", words)) for words in PAIRS["harm"])
"""Every task that is harmful by itself, in the words of a note."""

PAIR_OF_TASK = {
    task_of(pair): pair for group, members in PAIRS.items() for pair in (Pair(group, each) for each in members)
}
"""Every pair, by its task."""
