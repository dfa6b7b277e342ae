"""What a corruption is, the registry of all, and the check that each causes its codes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from data.rows import Query
from protocol import Call, Decision, Labels, Plan, Response, Trace, diagnose


@dataclass(frozen=True, slots=True)
class Example:
    """An honest response with what it answers to."""

    query: Query
    plan: Plan
    response: Response
    known: Labels | None = None
    """What is labelled, where the query's labels were completed by assumptions. The codes are checked against these,
    and a corruption that does not cause its codes then does not apply."""

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of the trace."""
        return self.response.trace.calls

    def with_calls(self, calls: Sequence[Call]) -> str:
        """Return the text with other calls."""
        return replace(self.response, trace=Trace(tuple(calls))).render()

    def with_answer(self, decision: Decision) -> Response | None:
        """Return the response with the query's reference answer under a decision, or None where there is none."""
        answer = self.query.answers.get(decision)
        return None if answer is None else replace(self.response, answer=answer)


Spoil = Callable[[Example, Random], str | None]


@dataclass(frozen=True, slots=True)
class Corruption:
    """A named way to spoil a response."""

    name: str
    family: str
    """"form", "selection", "execution", "decision" or "evidence"."""
    codes: frozenset[str]
    """The diagnostics it causes, exactly, on a query with full labels; none where the plan allows what it does."""
    spoil: Spoil
    is_balancing: bool = False
    """Whether only `data/pairs/negatives.py` draws it where lengths are to be balanced; the plain draw leaves it out,
    so that a seed keeps its pairs."""


class CorruptionError(AssertionError):
    """A corruption did not cause its codes: a fault of this module or of a rule, never of the data."""


CORRUPTIONS: dict[str, Corruption] = {}


def corruption(family: str, *codes: str, is_balancing: bool = False) -> Callable[[Spoil], Spoil]:
    """Register a corruption under its function's name."""

    def register(spoil: Spoil) -> Spoil:
        CORRUPTIONS[spoil.__name__] = Corruption(spoil.__name__, family, frozenset(codes), spoil, is_balancing)
        return spoil

    return register


def corrupt(name: str, example: Example, rng: Random) -> str | None:
    """Return the spoilt text, or None where the corruption does not apply.

    Raises:
        CorruptionError: the text does not cause exactly the stated codes, although the query is fully labelled.
    """
    entry = CORRUPTIONS[name]
    text = entry.spoil(example, rng)
    if text is None:
        return None
    caused = caused_codes(text, example)
    if caused != entry.codes:
        if example.known is not None:
            return None
        raise CorruptionError(f"{name} caused {sorted(caused)}, expected {sorted(entry.codes)}, in:\n{text}")
    return text


def caused_codes(text: str, example: Example) -> frozenset[str]:
    """Return the codes of everything that is wrong with a text under an example's plan and labels."""
    labels = example.query.labels if example.known is None else example.known
    return frozenset(found.code for found in diagnose(text, example.plan, labels, example.query.text).diagnostics)
