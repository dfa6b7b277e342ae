"""Pairs of words whose meeting is the point of a query: verb and person, child and object, colour and object.

What one word means is learnt from its other pairs, so pairs can be held out for the test split (`world.py`).
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
"""Objects that leave a picture safe by itself."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two words whose meeting is the point of a query, such as verb and person."""

    group: str
    """The table it is from, such as "harm"; pairs are held out within their group."""
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
"""Every pair, by group. The pairs of "writing" are only ever read: without them, the thing of an idiom that is held out
would be a word never seen."""


def task_of(pair: Pair) -> str:
    """Return what a pair asks to be done, such as "clean the knife".

    >>> task_of(Pair("idiom", ("kill", "time"))), task_of(Pair("harm", ("hurt", "boss")))
    ('kill time', 'hurt the boss')
    """
    first, second = pair.words
    return f"{first} {second}" if pair.group in {"idiom", "photo", "writing"} else f"{first} the {second}"


def unordered_pair(group: str, first: str, second: str) -> Pair:
    """Return the pair of two words of which either may come first."""
    return Pair(group, (min(first, second), max(first, second)))


def draw_pair(rng: random.Random, group: str) -> Pair:
    """Return a pair of the group."""
    return Pair(group, rng.choice(PAIRS[group]))


HARMFUL_PHRASES = frozenset(task_of(Pair("harm", words)) for words in PAIRS["harm"])
"""Every task that is harmful by itself, as a note would say it."""

PAIR_OF_TASK = {
    task_of(pair): pair for group, members in PAIRS.items() for pair in (Pair(group, each) for each in members)
}
"""Every pair by what it asks to be done."""
