"""Renders the rubric as messages for a chat model, with the response as quoted data.

The templates are package data: `rubric/system.j2`, `rubric/user.j2`, and the schema of a verdict beside them. They
follow the published evaluation (SaFeR-ToolKit: safety -3..3, helpfulness 0..3, rigor 0..3). The judge sees no labels,
only what a human reader would see.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from data.pictures.images import data_uri
from eval.judges.judgement import Item
from eval.judges.quoting import marker, quote
from protocol.templates import plain_template

Messages = list[dict[str, Any]]


@cache
def verdict_schema() -> dict[str, Any]:
    """Return the JSON Schema of a verdict."""
    schema: dict[str, Any] = json.loads(_text("verdict.schema.json"))
    return schema


def messages(item: Item) -> Messages:
    """Return the messages that ask a judge about a response, in the form of OpenAI's chat completions.

    Raises:
        ValueError: the item has no query, or a picture cannot be read.
    """
    if item.query is None:
        raise ValueError("an item for an LLM judge needs the user's words (Item.query)")
    images = item.load_images()
    sections = {name: quote(text) for name, text in _sections(item, item.query).items()}
    text = _render("user.j2", sections=sections, marker=marker(sections), num_images=len(images))
    system = _render("system.j2", schema=json.dumps(verdict_schema()["properties"]))
    pictures = [{"type": "image_url", "image_url": {"url": data_uri(image)}} for image in images]
    content = [*pictures, {"type": "text", "text": text}] if pictures else text
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def _sections(item: Item, query: str) -> dict[str, str]:
    """Return the sections. The trace is the response without the answer, so that nothing is lost or shown twice."""
    reading = item.verdict.reading
    trace = reading.text
    if reading.answer is not None:
        end = reading.answer_start + len(reading.answer)
        trace = trace[: reading.answer_start] + trace[end:]
    return {"QUERY": query, "TRACE": trace, "ANSWER": reading.visible_answer}


def _render(name: str, **values: Any) -> str:
    return plain_template("eval", f"judges/rubric/{name}").render(**values).strip()


def _text(name: str) -> str:
    return files("eval").joinpath("judges", "rubric", name).read_text(encoding="utf-8")
