"""The distractors of a query: words that an answer contains if it names everything in the hope of a hit."""

from collections.abc import Mapping

from data.pocket.lexicon import (
    ACTIONS,
    CATEGORY_OF_VERB,
    COLOURS,
    IDIOMS,
    KINDNESS,
    NUMBERS,
    OBJECTS,
    PERSONS,
    RECIPIENTS,
    SETTINGS,
)
from protocol.labels import Labels

_CLASSES = tuple(
    frozenset(" ".join(names).split())
    for names in (
        OBJECTS,
        tuple(COLOURS),
        SETTINGS,
        NUMBERS,
        (*ACTIONS, *KINDNESS, *CATEGORY_OF_VERB),
        PERSONS,
        RECIPIENTS,
        tuple(thing.split()[-1] for things in IDIOMS.values() for thing in things),
    )
)
"""Classes of words. A correct answer names only those words of a class that are facts."""


def distractors_of(labels: Labels, answers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of the same class as a fact that a correct answer has no reason to name.

    Words for things in the picture, and words of a reference answer (under any decision), are not distractors.
    """
    facts = frozenset(labels.facts or ())
    said = (*(labels.objects or ()), *(labels.texts or ()), *answers.values())
    spared = facts | frozenset(" ".join(said).replace(".", " ").replace(",", " ").replace(":", " ").lower().split())
    found = frozenset[str]().union(*(words for words in _CLASSES if words & facts))
    return tuple(sorted(found - spared))
