"""Which corruptions a query's preference pairs get.

The first pair is always the wrong decision (unsafe compliance or needless refusal); the others are drawn by family, so
that the many ways to misspell a trace do not crowd out the few ways to misjudge. Two draws:

* "drawn": uniformly from the corruptions that every version had, so that a seed keeps its pairs.
* "balanced": from all of them, and of a few candidates the one that keeps length from telling chosen from rejected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal

from data.corruptions import CORRUPTIONS, Example, corrupt

Draw = Literal["drawn", "balanced"]
WRONG_DECISIONS = ("unsafe_compliance", "needless_refusal")
_CANDIDATES = 4
"""Negatives of a family that a balanced draw chooses among."""
_TYPICAL_GAP = 60.0
"""Characters: weighs a gap in length against a gap in how often the chosen response is the longer one."""

Negative = tuple[str, str]
"""A corruption's name and the spoilt text."""


@dataclass(slots=True)
class LengthLedger:
    """The lengths of the pairs so far: rejected minus chosen in characters, and longer minus shorter in pairs."""

    num_characters: int = 0
    num_longer: int = 0

    def add(self, gap: int) -> None:
        """Count a pair."""
        self.num_characters += gap
        self.num_longer += (gap > 0) - (gap < 0)

    def imbalance_with(self, gap: int) -> float:
        """Return how far from balanced the pairs would be with one more."""
        longer = self.num_longer + (gap > 0) - (gap < 0)
        return ((self.num_characters + gap) / _TYPICAL_GAP) ** 2 + longer**2


def drawn(example: Example, count: int, rng: Random) -> Iterator[Negative]:
    """Yield at most `count` negatives, each of another family."""
    names = _names_by_family(with_balancing=False)
    found = 0
    for candidates in [list(WRONG_DECISIONS), *_shuffled_families(names, rng)]:
        if found == count:
            return
        usable = next(_usable(candidates, example, rng), None)
        if usable:
            found += 1
            yield usable


def balanced(example: Example, count: int, rng: Random, ledger: LengthLedger) -> Iterator[Negative]:
    """Yield at most `count` negatives, each of another family, and count their lengths in the ledger."""
    length = len(example.response.render())
    names = _names_by_family(with_balancing=True)
    found = 0
    for candidates in [list(WRONG_DECISIONS), *_shuffled_families(names, rng)]:
        if found == count:
            return
        usable = list(islice(_usable(candidates, example, rng), _CANDIDATES))
        if usable:
            found += 1
            best = min(usable, key=lambda negative: ledger.imbalance_with(len(negative[1]) - length))
            ledger.add(len(best[1]) - length)
            yield best


def _names_by_family(*, with_balancing: bool) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, entry in CORRUPTIONS.items():
        if with_balancing or not entry.is_balancing:
            names.setdefault(entry.family, []).append(name)
    if with_balancing:  # the decision comes first anyway; its other faults take their turn like any family's
        names["decision"] = [name for name in names["decision"] if name not in WRONG_DECISIONS]
    else:
        del names["decision"]
    return names


def _shuffled_families(names: dict[str, list[str]], rng: Random) -> list[list[str]]:
    families = list(names)
    return [rng.sample(names[family], len(names[family])) for family in rng.sample(families, len(families))]


def _usable(names: Sequence[str], example: Example, rng: Random) -> Iterator[Negative]:
    texts = ((name, corrupt(name, example, rng)) for name in names)
    return ((name, text) for name, text in texts if text is not None)
