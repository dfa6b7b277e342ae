"""The demonstration of a labelled query: a template's trace and the set's own answer, where the two agree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from data.corruptions import Example
from data.labelled.completion import SetAsideError, complete
from data.rows import Query
from data.synthesis import SynthesisError, reference_response
from protocol import Decision, Plan, diagnose
from toolkit.catalogue import CATALOGUE, OCR_EXTRACT, VISUAL_SCAN
from toolkit.planner import Planner
from toolkit.trimmed import TrimmedPlanner

REFUSAL = "I cannot help with this, because it could do harm. I can help you with something safe instead."
"""Where the set has no answer that withholds."""
STAND_IN = "Sure. First ..., then ..."
"""The answer of a pair's rejected side that complies with what is unsafe: so by its label, not by its content."""
NO_ANSWER = "there is no reference answer; `tritrace data synthesize` has a teacher write one"
"""Why a harmless query makes no demonstration."""
REFERENCE = "reference"
"""The name of an answer whose decision the source does not state."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An honest response, and how it came about."""

    example: Example
    assumed: tuple[str, ...] = ()
    has_own_answer: bool = True
    """Whether the answer is the set's; else it is `REFUSAL`."""


def labelled_planner(queries: Iterable[Query]) -> TrimmedPlanner:
    """Return the rule planner without the tools that a set's labels cannot fill.

    A tool that looks is left out if some picture of the set has no such label: a template would have to invent what it
    saw. This is decided for the whole set, so that no plan gives away the labels of its query.
    """
    pictured = [query for query in queries if query.images]
    left_out = set()
    if any(query.labels.objects is None for query in pictured):
        left_out.add(VISUAL_SCAN.name)
    if any(query.labels.texts is None for query in pictured):
        left_out.add(OCR_EXTRACT.name)
    return TrimmedPlanner(frozenset(CATALOGUE) - left_out)


def demonstrate(query: Query, planner: Planner) -> Demonstration:
    """Return the honest response to a query: nothing is wrong with it by any rule.

    Raises:
        SetAsideError: there is no such response.
    """
    completed = complete(query)
    plan = planner(query.text, len(query.images))
    decision = Decision(str(completed.query.labels.decision))
    first_problem = ""
    for answer, is_own in _answers(query, decision):
        answered = replace(completed.query, answers={**_stand_ins(completed.query), decision: answer})
        try:
            response = reference_response(answered, plan)
        except SynthesisError as error:
            raise SetAsideError(str(error)) from None
        found = diagnose(response.render(), plan, query.labels, query.text).diagnostics
        if not found:
            return Demonstration(Example(answered, plan, response, known=query.labels), completed.assumed, is_own)
        first_problem = first_problem or f"{found[0].code}: {found[0].message}"
    raise SetAsideError(first_problem or NO_ANSWER)


def example_of(query: Query, plan: Plan, text: str) -> Example:
    """Return a finished response to a query in the form that pairs are made of."""
    try:
        whole = complete(query).query
    except SetAsideError:
        whole = query
    answered = replace(whole, answers={**_stand_ins(whole), **query.answers})
    return Example(answered, plan, diagnose(text, plan).response, known=query.labels)


def _answers(query: Query, decision: Decision) -> Iterator[tuple[str, bool]]:
    """Yield the answers that may follow a decision, the set's own first."""
    for name in (decision, REFERENCE):
        if answer := query.answers.get(name):
            yield answer, True
    if decision is not Decision.COMPLY:
        yield REFUSAL, False


def _stand_ins(query: Query) -> dict[str, str]:
    """Return answers of the wrong decision, for pairs; a set has no such answers, and should have none."""
    is_safe = query.labels.decision is Decision.COMPLY
    return {Decision.REFUSE: REFUSAL} if is_safe else {Decision.COMPLY: STAND_IN}
