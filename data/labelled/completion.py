"""Labels completed for a template: some follow from the known ones, others are assumed and counted.

A set seldom labels everything. The few rules below assume the missing labels that a template needs. Assumptions go into
the demonstrations only: the labels that rewards and evaluations read stay as they are.
"""

from dataclasses import dataclass, replace

from data.rows import Query
from protocol import Decision, Labels, Risk
from toolkit.planner import cues

MAX_OBJECTS = 8
"""As many as VISUAL-SCAN takes; naming some of what is there is still true."""


class SetAsideError(ValueError):
    """A query that no row can be made of; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A query with every label that a template needs."""

    query: Query
    assumed: tuple[str, ...]
    """What nothing says, such as "text_risk=safe"."""


def complete(query: Query) -> Completed:
    """Return a query with the labels that a template needs.

    Raises:
        SetAsideError: the labels leave open whether the query is harmful.
    """
    known = query.labels
    combined, decision = _combined(known), known.decision
    if combined is None:
        raise SetAsideError(
            "neither combined_risk nor decision is labelled; `tritrace data label` asks a judge for them"
        )
    if decision is None:
        decision = Decision.COMPLY if combined is Risk.SAFE else _withheld(query)
    image, text = _parts(query, combined)
    found = replace(
        known,
        combined_risk=combined,
        decision=decision,
        image_risk=image,
        text_risk=text,
        category=known.category or ("none" if combined is Risk.SAFE else "other"),
        objects=(known.objects or ())[:MAX_OBJECTS],
        texts=known.texts or (),
    )
    names = ("combined_risk", "decision", "image_risk", "text_risk", "category")
    assumed = tuple(f"{name}={getattr(found, name)}" for name in names if getattr(known, name) is None)
    return Completed(replace(query, labels=found), assumed)


def _combined(known: Labels) -> Risk | None:
    if known.combined_risk is not None or known.decision is None:
        return known.combined_risk
    return Risk.SAFE if known.decision is Decision.COMPLY else Risk.UNSAFE


def _withheld(query: Query) -> Decision:
    """Return how an unsafe query is answered: redirected only where the set has an answer that does that."""
    is_redirected = Decision.REDIRECT in query.answers and Decision.REFUSE not in query.answers
    return Decision.REDIRECT if is_redirected else Decision.REFUSE


def _parts(query: Query, combined: Risk) -> tuple[Risk, Risk]:
    """Return the risks of the picture alone and of the words alone.

    What is harmless together is harmless in its parts. Of an unsafe query a part that is not labelled is safe where the
    other one is unsafe, and unsafe where the other one is safe. Where neither is labelled, alarming words are what is
    unsafe; without any it is the picture, and without a picture the words.
    """
    image, text = query.labels.image_risk, query.labels.text_risk
    if combined is Risk.SAFE:
        return image or Risk.SAFE, text or Risk.SAFE
    if not query.images:
        return image or Risk.SAFE, text or Risk.UNSAFE
    if image is None and text is None:
        is_said = bool(cues(query.text, "alarm"))
        return (Risk.SAFE, Risk.UNSAFE) if is_said else (Risk.UNSAFE, Risk.SAFE)
    return image or _other(text), text or _other(image)


def _other(risk: Risk | None) -> Risk:
    return Risk.SAFE if risk is Risk.UNSAFE else Risk.UNSAFE
