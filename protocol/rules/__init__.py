"""The rules: one small generator each, named by its code; `protocol.verdict` drives them and attaches locations.

A rule yields `Finding`s. It sees the whole reading, the plan and the labels, and stays silent where it lacks one of
them. A fault of one family never stops the rules of later ones; ranking puts root causes first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module

from protocol.labels import Labels
from protocol.plans.plan import Plan
from protocol.response.reading import Reading
from protocol.response.statements import JudgedCall, JudgedPair, Statement, judge_calls, statements_of


@dataclass(frozen=True)
class Subject:
    """What a rule looks at."""

    reading: Reading
    plan: Plan
    labels: Labels
    query: str | None = None
    """The user's words; None where they are not known."""

    @cached_property
    def calls(self) -> tuple[JudgedCall, ...]:
        """The calls of known tools, each value judged by its key."""
        return tuple(judge_calls(self.reading, self.plan))

    @cached_property
    def faulty(self) -> tuple[JudgedPair, ...]:
        """The pairs whose value is not allowed by the key."""
        return tuple(pair for call in self.calls for pair in call.pairs if pair.faults)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """What the calls state about the query."""
        return tuple(statements_of(self.calls))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule reports: the driver turns the offset into line and column."""

    start: int
    """Offset in the response, in code points."""
    message: str
    expected: str = ""
    hint: str = ""


Rule = Callable[[Subject], Iterator[Finding]]
_rules: dict[str, Rule] = {}


def rule(code: str) -> Callable[[Rule], Rule]:
    """Register a rule under its code."""

    def register(function: Rule) -> Rule:
        _rules[code] = function
        return function

    return register


@cache
def all_rules() -> dict[str, Rule]:
    """Return every rule by code, in order of code."""
    for module in ("structure", "typed", "path", "coherence", "evidence"):
        import_module(f"protocol.rules.{module}")

    return dict(sorted(_rules.items()))
