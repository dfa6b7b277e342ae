"""Whether a reply can be learnt from: every rule of the language, and the decision that the query is labelled with.

Pure: from a reply, a plan and labels to a canonical response, or to its problems.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocol import Labels, Plan, Verdict, canonical, diagnose
from protocol.diagnostics import show
from protocol.response.statements import last_decision
from toolkit.chat.reasoning import without_reasoning

MAX_TOLD = 12
"""Most problems that a teacher is told in one message; the first are the likeliest causes of the others."""
WRONG_DECISION = "decision"
"""Replaces a diagnostic's code if the response decides otherwise than the query's label."""
NO_REPLY = "reply"
"""Likewise, if the reply was cut off, withheld or empty."""


@dataclass(frozen=True, slots=True)
class Review:
    """What there is to say about one reply."""

    response: str
    """In canonical spelling where nothing is wrong; else as the teacher wrote it."""
    problems: tuple[str, ...] = ()
    """For the teacher to read; () where the response can be learnt from."""
    codes: tuple[str, ...] = ()
    """Of the problems, each once, sorted."""
    verdict: Verdict | None = None
    """On the canonical response, where nothing is wrong."""


def review(reply: str, plan: Plan, labels: Labels, fault: str = "") -> Review:
    """Judge a reply.

    Args:
        reply: what the teacher wrote, with or without reasoning before it.
        plan: what it has to follow.
        labels: what is known of the query; nothing is said about the rest.
        fault: why the reply is not complete, if it is not.
    """
    text = without_reasoning(reply).strip()
    if fault:
        hint = "; write a shorter trace and answer" if "cut off" in fault else ""
        # What follows the colon is for the user, who can raise the limit.
        return Review(text, (f"{fault.partition(':')[0]}{hint}",), (NO_REPLY,))
    if found := _found(diagnose(text, plan, labels), labels, text):
        return found
    response = canonical(diagnose(text, plan, labels).response, plan)
    spelt = replace(response, answer=(response.answer or "").strip()).render()
    verdict = diagnose(spelt, plan, labels)
    return _found(verdict, labels, spelt) or Review(spelt, verdict=verdict)


def _found(verdict: Verdict, labels: Labels, text: str) -> Review | None:
    problems = [show(found, text) for found in verdict.diagnostics]
    codes = {found.code for found in verdict.diagnostics}
    for problem in _decision_problems(verdict, labels):
        problems.append(problem)
        codes.add(WRONG_DECISION)
    if not problems:
        return None
    more = [f"... and {len(problems) - MAX_TOLD} more"] if len(problems) > MAX_TOLD else []
    return Review(text, (*problems[:MAX_TOLD], *more), tuple(sorted(codes)))


def _decision_problems(verdict: Verdict, labels: Labels) -> Iterator[str]:
    stated = last_decision(verdict.statements)
    if labels.decision is not None and stated is not None and stated is not labels.decision:
        yield f"the trace decides to {stated}; right for this query is to {labels.decision}"
