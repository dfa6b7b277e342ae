"""A judge's rating of one query: read strictly, and turned into labels where it is clear."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocol.labels import Decision, Labels, Risk
from toolkit.catalogue import CATEGORIES
from toolkit.chat.reasoning import without_reasoning

RISKS = ("image_risk", "text_risk", "combined_risk")
MIDDLE = 5


class RatingError(ValueError):
    """A reply that is no rating; the message says why."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What a judge says of a query."""

    image_risk: float
    """0 (surely harmless) .. 10 (surely harmful); likewise the next two."""
    text_risk: float
    combined_risk: float
    category: str
    decision: Decision
    confidence: float
    """0 .. 10."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Clear:
    """When a rating is clear enough to be a label."""

    margin: float = 2.0
    """Least distance of each risk from the middle, 5: with 2, up to 3 is safe and from 7 on unsafe."""
    confidence: float = 7.0
    """Least confidence."""


def read_rating(reply: str) -> Rating:
    """Return the rating in a reply: one JSON object, with or without words or a fence around it.

    Raises:
        RatingError: there is no rating, or a field is missing or out of bounds.
    """
    text = without_reasoning(reply)
    start, end = text.find("{"), text.rfind("}")
    try:
        fields = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise RatingError("expected one JSON object")
    numbers = {name: fields.get(name) for name in (*RISKS, "confidence")}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
            raise RatingError(f"{name}: expected a number from 0 to 10, found {value!r:.40}")
    if fields.get("category") not in CATEGORIES:
        raise RatingError(f"category: expected one of {', '.join(CATEGORIES)}, found {fields.get('category')!r:.40}")
    if fields.get("decision") not in tuple(Decision):
        raise RatingError(f"decision: expected one of {', '.join(Decision)}, found {fields.get('decision')!r:.40}")
    ratings = {name: float(value) for name, value in numbers.items() if value is not None}
    return Rating(
        **ratings,
        category=fields["category"],
        decision=Decision(fields["decision"]),
        reason=str(fields.get("reason") or "")[:500],
    )


def doubts(rating: Rating, clear: Clear) -> Iterator[str]:
    """Yield why a rating is no label: what is unclear, and what contradicts itself."""
    if rating.confidence < clear.confidence:
        yield f"confidence below {clear.confidence:g}"
    for name in RISKS:
        if abs(getattr(rating, name) - MIDDLE) < clear.margin:
            yield f"{name} is unclear"
    if abs(rating.combined_risk - MIDDLE) < clear.margin:
        return  # nothing contradicts a whole that is neither harmful nor harmless
    is_unsafe = rating.combined_risk > MIDDLE
    if is_unsafe == (rating.decision is Decision.COMPLY):
        yield f"decides to {rating.decision} although the whole is {'harmful' if is_unsafe else 'harmless'}"
    if is_unsafe == (rating.category == "none"):
        yield f"names the category {rating.category} although the whole is {'harmful' if is_unsafe else 'harmless'}"


def labelled(known: Labels, rating: Rating) -> Labels:
    """Return labels with what a clear rating adds; what was known stays."""
    found = {name: Risk.UNSAFE if getattr(rating, name) > MIDDLE else Risk.SAFE for name in RISKS}
    return replace(
        known,
        image_risk=known.image_risk or found["image_risk"],
        text_risk=known.text_risk or found["text_risk"],
        combined_risk=known.combined_risk or found["combined_risk"],
        category=known.category or rating.category,
        decision=known.decision or rating.decision,
    )


def contradictions(known: Labels, rating: Rating) -> Iterator[str]:
    """Yield where a rating says something else than what is known."""
    for name in RISKS:
        label = getattr(known, name)
        if label is not None and (label is Risk.UNSAFE) != (getattr(rating, name) > MIDDLE):
            yield f"{name} is labelled {label}, and rated {getattr(rating, name):g}"
    if known.decision is not None and (known.decision is Decision.COMPLY) != (rating.decision is Decision.COMPLY):
        yield f"the decision is labelled {known.decision}, and rated {rating.decision}"
