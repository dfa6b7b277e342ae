"""Which corruptions a query's preference pairs get.

The first pair is the wrong decision, as long as needless refusals do not outnumber unsafe compliances: where they do,
the pairs say above all that refusing is wrong, and a policy trained on them complies more (measured: README). The
others are drawn by family, so that the many ways to misspell a trace do not crowd out the few ways to misjudge. Two
draws:

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
UNSAFE_COMPLIANCE, NEEDLESS_REFUSAL = WRONG_DECISIONS = ("unsafe_compliance", "needless_refusal")
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


@dataclass(slots=True)
class DecisionLedger:
    """How far the needless refusals so far outnumber the unsafe compliances."""

    surplus: int = 0

    @property
    def allowed(self) -> list[str]:
        """The wrong decisions that the next pair may have."""
        return [UNSAFE_COMPLIANCE] if self.surplus > 0 else list(WRONG_DECISIONS)

    def add(self, corruption: str) -> None:
        """Count a pair."""
        self.surplus += (corruption == NEEDLESS_REFUSAL) - (corruption == UNSAFE_COMPLIANCE)


def drawn(example: Example, count: int, rng: Random, decisions: DecisionLedger) -> Iterator[Negative]:
    """Yield at most `count` negatives, each of another family, and count their decisions in the ledger."""
    names = _names_by_family(with_balancing=False)
    found = 0
    for candidates in [decisions.allowed, *_shuffled_families(names, rng)]:
        if found == count:
            return
        usable = next(_usable(candidates, example, rng), None)
        if usable:
            found += 1
            decisions.add(usable[0])
            yield usable


def balanced(
    example: Example, count: int, rng: Random, decisions: DecisionLedger, lengths: LengthLedger
) -> Iterator[Negative]:
    """Yield at most `count` negatives, each of another family, and count them in both ledgers."""
    length = len(example.response.render())
    names = _names_by_family(with_balancing=True)
    found = 0
    for candidates in [decisions.allowed, *_shuffled_families(names, rng)]:
        if found == count:
            return
        usable = list(islice(_usable(candidates, example, rng), _CANDIDATES))
        if usable:
            found += 1
            best = min(usable, key=lambda negative: lengths.imbalance_with(len(negative[1]) - length))
            lengths.add(len(best[1]) - length)
            decisions.add(best[0])
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
