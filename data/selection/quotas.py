"""How many rows of a kind are wanted: quotas by quadrant and by category, filled in the order of the queries.

A quadrant is a query's risks, "picture/words/together", such as "safe/safe/unsafe"; a missing label is "unknown". A
quota is an upper bound: where queries run out or are rejected, fewer rows are made.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from data.rows import Query
from protocol.errors import UserError
from protocol.nearest import nearest

ItemT = TypeVar("ItemT")
EACH = "*"
"""In place of a value: every value that no other quota names, each for itself."""
_FORM = re.compile(r"(?P<trait>[a-z]+)=(?P<value>.+):(?P<count>\d+)")


def quadrant_of(query: Query) -> str:
    """Return the risks of picture, words and both together, such as "safe/safe/unsafe"."""
    risks = (query.labels.image_risk, query.labels.text_risk, query.labels.combined_risk)
    return "/".join(risk or "unknown" for risk in risks)


def category_of(query: Query) -> str:
    """Return the kind of harm, "none" for a query without harm."""
    return query.labels.category or "unknown"


TRAITS: dict[str, Callable[[Query], str]] = {"quadrant": quadrant_of, "category": category_of}


@dataclass(frozen=True, slots=True)
class Quota:
    """The most rows of queries of which a trait has a value."""

    trait: str
    """Of `TRAITS`."""
    value: str
    """Of the trait, or `EACH`."""
    count: int


def read_quotas(texts: Iterable[str]) -> tuple[Quota, ...]:
    """Read quotas such as "category=fraud:200", "quadrant=safe/safe/unsafe:500", "category=*:100".

    Raises:
        UserError: lists every invalid quota, and values that are named twice.
    """
    quotas: dict[tuple[str, str], Quota] = {}
    problems = []
    for text in texts:
        found = _FORM.fullmatch(text)
        if not found or found["trait"] not in TRAITS:
            hint = nearest(found["trait"], TRAITS) if found else ""
            example = "expected such as quadrant=safe/safe/unsafe:500 or category=fraud:200, with * for each value"
            problems.append(f"--quota {text}: {example}{'; ' * bool(hint)}{hint}")
        elif (found["trait"], found["value"]) in quotas:
            problems.append(f"--quota {text}: there is another quota for {found['trait']} {found['value']}")
        elif found["trait"] == "quadrant" and not _is_quadrant(found["value"]):
            problems.append(f"--quota {text}: a quadrant is picture/words/together, each safe, unsafe or unknown")
        else:
            key = found["trait"], found["value"]
            quotas[key] = Quota(*key, int(found["count"]))
    if problems:
        raise UserError("\n".join(problems))
    return tuple(quotas.values())


def _is_quadrant(value: str) -> bool:
    parts = value.split("/")
    return value == EACH or (len(parts) == 3 and {*parts} <= {"safe", "unsafe", "unknown"})


class QuotaLedger:
    """What of the quotas is taken."""

    def __init__(self, quotas: Sequence[Quota]) -> None:
        self._bounds = {(quota.trait, quota.value): quota.count for quota in quotas}
        self._taken: Counter[tuple[str, str]] = Counter()

    def take(self, query: Query) -> bool:
        """Take a place of every quota that a query falls under; where one is full, none, and return False."""
        keys = [key for key in _keys(query) if self._bound(key) is not None]
        if any(self._taken[key] >= (self._bound(key) or 0) for key in keys):
            return False
        self._taken.update(keys)
        return True

    def give_back(self, query: Query) -> None:
        """Give back the places of a rejected query."""
        self._taken.subtract(key for key in _keys(query) if self._bound(key) is not None)

    def _bound(self, key: tuple[str, str]) -> int | None:
        return self._bounds.get(key, self._bounds.get((key[0], EACH)))

    def rounds(
        self, items: Iterable[ItemT], query_of: Callable[[ItemT], Query], rejected: Callable[[], Iterable[ItemT]]
    ) -> Iterator[list[ItemT]]:
        """Yield what is to be tried, a list at a time, until every quota is full or nothing is left.

        A round takes the first items that fit. Rejected items give their places to later ones in the next round. So the
        outcomes decide what is tried, and not the order in which they arrive.

        Args:
            items: in order of preference.
            query_of: the query of an item.
            rejected: called after a round, returns its items that became no row.
        """
        waiting = list(items)
        while waiting:
            chosen: list[ItemT] = []
            left: list[ItemT] = []
            for item in waiting:
                (chosen if self.take(query_of(item)) else left).append(item)
            if not chosen:
                return
            yield chosen
            waiting = left
            for item in rejected():
                self.give_back(query_of(item))


def _keys(query: Query) -> list[tuple[str, str]]:
    return [(name, trait(query)) for name, trait in TRAITS.items()]
