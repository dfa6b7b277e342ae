"""The JSON Schema (2020-12) of a plan that a language model writes: names of persona and tools, and the graph."""

from collections.abc import Iterable
from typing import Any


def selection_schema(personas: Iterable[str], tools: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a plan's record in which personas and tools stand by their names.

    Every field is required and none is added, as the strict mode of OpenAI's structured outputs wants it. A schema
    cannot say whether the graph can be walked; reading the plan checks that.
    """
    name = {"enum": list(tools)}
    some = {"type": "array", "items": name, "minItems": 1}
    edge = {"type": "array", "items": name, "minItems": 2, "maxItems": 2}
    text, number = {"type": "string"}, {"type": "integer"}
    edges = {**some, "items": edge}
    graph = _object(topology=text, edges=edges, start=some, accept=some, max_steps=number, max_returns=number)
    return _object(persona={"enum": list(personas)}, tools=some, graph=graph, reason=text)


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
