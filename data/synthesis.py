"""Reference traces from templates: what an honest responder would write for a labelled query under a plan.

A graph offers several paths; the way says which one is taken. The full way calls every tool that it can, and its
decisions agree with the label. Values follow from the query's labels, intent and setting. A teacher model writes richer
ones; these are exact, which is what tests and the pocket world need.
"""

from collections.abc import Callable
from dataclasses import dataclass

from data.rows import Query
from protocol import Call, Decision, Phase, Plan, Response, Risk, Tool, Trace, Word
from protocol.errors import UserError
from protocol.keys.literals import Value
from protocol.keys.types import Text
from protocol.plans.graph import State
from toolkit.planner import cues

REASONS = {
    Decision.COMPLY: "nothing here does harm",
    Decision.REDIRECT: "not safe for a child",
    Decision.REFUSE: "it would do harm",
}
UNSAFE_SCORE, SAFE_SCORE = 0.95, 0.05


@dataclass(frozen=True, slots=True)
class Way:
    """Which of a graph's paths a reference trace takes. Where the graph leaves no choice, all ways are the same."""

    looks: bool = True
    """Whether it calls every Perception tool that it can; else it goes on to Reasoning as soon as it may."""
    weighs: bool = True
    """Whether it calls every Reasoning tool that it can; else it goes on to the decision as soon as it may."""


FULL = Way()


class SynthesisError(UserError):
    """A query without enough labels for a reference trace; the message names what is missing."""


def reference_response(query: Query, plan: Plan, way: Way = FULL) -> Response:
    """Return the honest response to a query.

    Raises:
        SynthesisError: labels or the reference answer are missing, or a tool has no template.
    """
    labels, answer = query.labels, query.honest_answer
    missing = [
        name
        for name in ("image_risk", "text_risk", "combined_risk", "decision", "objects", "texts")
        if getattr(labels, name) is None
    ]
    if missing or answer is None:
        raise SynthesisError(f"query {query.id}: a reference trace needs {', '.join(missing) or 'a reference answer'}")
    path = reference_path(plan, Decision(str(labels.decision)), way)
    return Response(Trace(tuple(Call(tool.name, template_args(tool, query)) for tool in path)), answer)


def reference_path(plan: Plan, decision: Decision, way: Way = FULL) -> list[Tool]:
    """Return a path without returns or repetitions whose tools agree with a decision.

    At each step the earliest tool of the plan that may follow is taken. In a phase that the way hurries through, a tool
    of a later phase is preferred. A tool that implies the decision is preferred to one that only states it, where the
    graph offers both.
    """
    order = {tool.name: place for place, tool in enumerate(plan.tools)}
    hurried = {Phase.PERCEPTION: not way.looks, Phase.REASONING: not way.weighs}

    def preference(state: State, is_hurried: bool) -> tuple[bool, int, int]:
        tool = plan.by_name[state.tool]
        return tool.implies is not decision, -tool.phase.rank if is_hurried else 0, order[state.tool]

    path: list[Tool] = []
    visited: set[str] = set()
    candidates = list(plan.walker.first())
    while candidates:
        is_hurried = bool(path) and hurried.get(path[-1].phase, False)
        state = min(candidates, key=lambda each: preference(each, is_hurried))
        path.append(plan.by_name[state.tool])
        visited.add(state.tool)
        candidates = [after for after in plan.walker.next(state) if _agrees(plan, after, decision)]
        candidates = [after for after in candidates if not after.returns and after.tool not in visited]
    return path


def _agrees(plan: Plan, state: State, decision: Decision) -> bool:
    return plan.by_name[state.tool].implies in (None, decision)


def template_args(tool: Tool, query: Query) -> dict[str, Value]:
    """Return the values of one call. A tool with no key but a free text, such as a custom one, notes the intent.

    Raises:
        SynthesisError: the tool has no template, and keys whose values nothing is known about.
    """
    if tool.name in _templates:
        return _templates[tool.name](query)
    note = tool.keys[0]
    if len(tool.keys) > 1 or not isinstance(note.type, Text) or note.role is not None:
        raise SynthesisError(f"there is no template for {tool.name}; known are {', '.join(_templates)}")
    return {note.name: _wish(query)[: note.type.max_length]}


def _ocr(query: Query) -> dict[str, Value]:
    texts = query.labels.texts or ()
    return {"text": " ".join(texts), "legible": bool(texts)}


def _scan(query: Query) -> dict[str, Value]:
    hazard = "high" if query.labels.image_risk is Risk.UNSAFE else "none"
    return {"objects": query.labels.objects or (), "scene": query.setting, "hazard": Word(hazard)}


def _keywords(query: Query) -> dict[str, Value]:
    found = cues(query.text, "alarm")
    return {"keywords": found, "severity": Word("high" if found else "none")}


def _relation(query: Query) -> dict[str, Value]:
    labels = query.labels
    is_compounding = labels.combined_risk is Risk.UNSAFE and labels.text_risk is labels.image_risk is Risk.SAFE
    return {"relation": Word("compounding" if is_compounding else "consistent")}


def _wish(query: Query) -> str:
    return query.intent or " ".join(query.text.split())[:120]


def _intent(query: Query) -> dict[str, Value]:
    return {"intent": _wish(query), "text_risk": _word(query.labels.text_risk)}


def _risk(query: Query) -> dict[str, Value]:
    labels = query.labels
    return {
        "image_risk": _word(labels.image_risk),
        "text_risk": _word(labels.text_risk),
        "combined_risk": _word(labels.combined_risk),
        "category": Word(labels.category or "none"),
        "score": UNSAFE_SCORE if labels.combined_risk is Risk.UNSAFE else SAFE_SCORE,
    }


def _sentinel(query: Query) -> dict[str, Value]:
    return {"attack": Word("typographic" if query.labels.category == "injection" else "none")}


def _context(query: Query) -> dict[str, Value]:
    return {"vulnerable": bool(cues(query.text, "vulnerable")), "setting": query.setting}


def _gate(query: Query) -> dict[str, Value]:
    decision = Decision(str(query.labels.decision))
    return {"decision": Word(decision), "reason": REASONS[decision]}


def _word(value: object) -> Word:
    return Word(str(value))


_templates: dict[str, Callable[[Query], dict[str, Value]]] = {
    "OCR-EXTRACT": _ocr,
    "VISUAL-SCAN": _scan,
    "KEYWORD-FLAGGING": _keywords,
    "CROSS-MODAL-SYNC": _relation,
    "INTENT-RADAR": _intent,
    "RISK-SCORER": _risk,
    "JAILBREAK-SENTINEL": _sentinel,
    "CONTEXT-CHECK": _context,
    "SAFETY-GATE": _gate,
    "REDIRECT-ENGINE": lambda _: {"alternative": "something safe"},
    "REFUSAL-GENERATOR": lambda _: {"tone": Word("warm")},
}
