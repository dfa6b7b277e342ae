"""The content of a data set: rows by file, and the balance of their subjects.

Memory does not grow with rows, except by the two lengths of every pair.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data.checks.facts import Facts, RowFaultName
from data.pairs.lengths import LengthGap, length_gap

TRAITS = {
    "kind": "Cases",
    "quadrant": "Risk of picture, words, and both together",
    "category": "Harm category",
    "decision": "Expected decision",
    "topology": "Topology of the plan",
    "persona": "Persona of the plan",
    "tool": "Tools that plans offer",
    "corruption": "What is wrong with rejected responses",
    "length": "Length of the response held up as right",
}
"""Titles of what is counted, in the order they are shown."""
OVERALL = "all pairs"


@dataclass(slots=True)
class Counts:
    """Counts over any number of rows."""

    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By file, kind and split."""
    traits: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    """By trait, value and file."""
    faults: Counter[RowFaultName] = field(default_factory=Counter)
    num_faulty: int = 0
    """Rows with a fault that is no mere warning."""
    num_unreadable: int = 0
    num_images: int = 0
    """Uses of images."""
    _gaps: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def num_rows(self) -> int:
        """Rows that could be read."""
        return self.rows.total()

    def add(self, facts: Facts) -> None:
        """Count a row."""
        self.rows[facts.file, facts.kind, facts.split] += 1
        self.num_images += len(facts.images)
        for trait, value in facts.traits:
            self.traits.setdefault(trait, {}).setdefault(value, Counter())[facts.file] += 1
        if facts.kind == "preference":
            self._gaps[facts.corruption].append((facts.lengths[0], facts.lengths[1]))

    def length_gaps(self) -> dict[str, LengthGap]:
        """Return how chosen and rejected differ in length: over all pairs first, then by corruption."""
        if not self._gaps:
            return {}
        everything = [pair for pairs in self._gaps.values() for pair in pairs]
        return {OVERALL: length_gap(everything)} | {name: length_gap(self._gaps[name]) for name in sorted(self._gaps)}

    def balance(self, trait: str) -> Iterator[tuple[str, Counter[str]]]:
        """Yield the values of a trait, the most frequent first, lengths in their order; with their rows by file."""
        values = self.traits.get(trait, {})
        by_count = sorted(values.items(), key=lambda item: (-item[1].total(), item[0]))
        yield from sorted(values.items(), key=lambda item: _first_number(item[0])) if trait == "length" else by_count

    def to_json(self) -> dict[str, Any]:
        """Return every count as a JSON object."""
        return {
            "rows": [
                {"file": file, "kind": kind, "split": split, "rows": n} for (file, kind, split), n in self.rows.items()
            ],
            "balance": {trait: {value: dict(files) for value, files in self.balance(trait)} for trait in TRAITS},
            "faults": {str(name): count for name, count in sorted(self.faults.items())},
            "num_faulty": self.num_faulty,
            "num_unreadable": self.num_unreadable,
        }


def _first_number(text: str) -> int:
    return int(text.split(maxsplit=1)[0].replace(",", ""))
