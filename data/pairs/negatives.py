"""Which corruptions a query's preference pairs get.

They are drawn by family, so that the many ways to misspell a trace do not displace the few ways to misjudge. There are
four draws:

* "traces": a look left out, or a false or contradictory claim; then wrong tools and calls. The answer stays honest.
* "even": as "traces", with false claims about risk in as many unsafe queries as safe ones. Two queries in three are
  safe: without this most rejected claims say "unsafe", and a model without other evidence learns to say "safe".
* "drawn": first the wrong decision (unsafe compliance or needless refusal), then other families.
* "balanced": as "drawn", and of a few candidates the one that best balances the lengths of chosen and rejected.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal

from data.corruptions import CORRUPTIONS, Example, corrupt
from protocol.labels import Risk

Draw = Literal["traces", "even", "drawn", "balanced"]
UNLOOKED = "unlooked"
WRONG_DECISIONS = ("unsafe_compliance", "needless_refusal")
WRONG_TAGS = ("conflicting_tags", "score_against_risk")
"""Of the decision's faults, those that leave decision and answer as they are."""
RISK_CLAIMS = ("wrong_image_tag", "wrong_text_tag", *WRONG_TAGS)
"""Corruptions that claim a risk which is not the query's."""
_CANDIDATES = 4
"""Negatives of a family that a balanced draw chooses among."""
_SIDE: Mapping[Risk | None, int] = {Risk.UNSAFE: 1, Risk.SAFE: -1, None: 0}
_TYPICAL_GAP = 60.0
"""Characters: the weight of "the chosen response is longer" against a gap in length."""

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
class RiskLedger:
    """How many more pairs so far have a false claim about the risk of an unsafe query than of a safe one."""

    num_ahead: int = 0

    def has_room(self, risk: Risk | None) -> bool:
        """Whether such a claim about a query of this risk leaves the pairs even, or makes them so."""
        return self.num_ahead * _SIDE[risk] <= 0

    def add(self, name: str, risk: Risk | None) -> None:
        """Count a pair by its corruption."""
        if name in RISK_CLAIMS:
            self.num_ahead += _SIDE[risk]


def even(example: Example, count: int, rng: Random, ledger: RiskLedger) -> Iterator[Negative]:
    """Yield at most `count` negatives as `traces` does, and count those about risk in the ledger."""
    risk = example.query.labels.combined_risk
    for name, text in traces(example, count, rng, without=() if ledger.has_room(risk) else RISK_CLAIMS):
        ledger.add(name, risk)
        yield name, text


def traces(example: Example, count: int, rng: Random, without: Collection[str] = ()) -> Iterator[Negative]:
    """Yield at most `count` negatives: a look left out where that is possible, then a false or contradictory claim.

    Further ones are of the two published families. Other faults are left out: SFT leaves none to mend, and they do harm
    elsewhere. A rejected side that stops early makes the end of the chosen one less likely; one that answers otherwise
    makes such answers less likely where they are right (redirections lost their second sentence).
    """
    names = _names_by_family(with_balancing=True)
    claims = [name for name in (*names["evidence"], *WRONG_TAGS) if name not in without]
    published = {family: names[family] for family in ("selection", "execution")}
    families = [[UNLOOKED], rng.sample(claims, len(claims)), *_shuffled_families(published, rng)]
    return _one_of_each(families, example, count, rng)


def drawn(example: Example, count: int, rng: Random) -> Iterator[Negative]:
    """Yield at most `count` negatives: the wrong decision first, then each of another family."""
    names = _names_by_family(with_balancing=False)
    return _one_of_each([list(WRONG_DECISIONS), *_shuffled_families(names, rng)], example, count, rng)


def _one_of_each(families: Sequence[Sequence[str]], example: Example, count: int, rng: Random) -> Iterator[Negative]:
    usable = (next(_usable(candidates, example, rng), None) for candidates in families)
    return islice((negative for negative in usable if negative), count)


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
