"""The teacher's prompt: the plan in full, how to write for a learner, the labels of the query, then the query.

The words are package data in `prompts/`. The teacher is told the labels, so that the trace agrees with the truth; a
teacher that is asked blindly shows what it sees by itself.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Template

from data.pictures.images import portable_uri
from data.pictures.pixels import GROUND
from data.rows import Query
from protocol import Decision, Labels, Plan, system_prompt
from protocol.templates import plain_template

Messages = list[dict[str, Any]]


def opening(query: Query, plan: Plan, root: Path, *, is_blind: bool = False, ground: str = GROUND) -> Messages:
    """Return the conversation that asks for a response to a query.

    Args:
        query: words and pictures of the user, and what is known of them.
        plan: what the response has to follow.
        root: the folder that the pictures' paths are relative to.
        is_blind: the teacher is not told the labels.
        ground: name of the colour that transparency is put on.

    Raises:
        data.pictures.images.ImageError: a picture cannot be used.
    """
    known = [] if is_blind else list(known_facts(query.labels))
    text = _template("teacher.j2").render(system=system_prompt(plan, "full"), known=known).strip()
    pictures = [_picture(source, root, ground) for source in query.images]
    content = [*pictures, {"type": "text", "text": query.text}] if pictures else query.text
    return [{"role": "system", "content": text}, {"role": "user", "content": content}]


def repair(reply: str, problems: Sequence[str]) -> Messages:
    """Return the turns that follow a reply which cannot be used."""
    text = _template("repair.j2").render(problems=problems).strip()
    # Some servers refuse a turn without content.
    return [{"role": "assistant", "content": reply or "(nothing)"}, {"role": "user", "content": text}]


def known_facts(labels: Labels) -> Iterator[str]:
    """Yield the known labels, a line each."""
    risks = {"picture alone": labels.image_risk, "words alone": labels.text_risk, "both together": labels.combined_risk}
    yield from (f"risk of the {what}: {risk}" for what, risk in risks.items() if risk is not None)
    if labels.category is not None:
        yield f"kind of harm: {labels.category}"
    if labels.decision is not None:
        yield f"the right decision: {Decision(labels.decision)}"
    if labels.objects is not None:
        yield f"seen in the picture, under exactly these names: {', '.join(labels.objects) or 'nothing'}"
    if labels.texts is not None:
        yield f"written in the picture: {' '.join(labels.texts) or 'nothing'}"
    if labels.facts:
        yield f"the answer names: {', '.join(labels.facts)}"


def _picture(source: str, root: Path, ground: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": portable_uri(source, root, ground)}}


def _template(name: str) -> Template:
    return plain_template("data", f"teacher/prompts/{name}")
