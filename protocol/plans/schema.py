"""The JSON Schema (2020-12) of a plan's record, as `Plan.to_json` writes and `plan_from_record` reads it.

Derived from the dataclasses: a field is a property, and a field without a default is required. A schema cannot say
whether names are well formed and the graph can be walked; reading the plan checks that.
"""

from collections.abc import Iterable
from dataclasses import MISSING, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from protocol.keys.numbers import Integer
from protocol.keys.types import AnyKeyType
from protocol.plans.plan import Plan
from protocol.plans.tools import Key

_NAME_BY_PRIMITIVE = {str: "string", int: "integer", float: "number", NoneType: "null"}


def plan_schema() -> dict[str, Any]:
    """Return the schema of a plan's record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Plan", **_schema(Plan)}


def selection_schema(personas: Iterable[str], tools: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a plan's record in which personas and tools stand by their names.

    A language model that plans writes this record: it chooses personas and tools, and draws the graph. Every
    field is required and none is added, as the strict mode of OpenAI's structured outputs wants it.
    """
    schema, name = _schema(Plan), {"enum": list(tools)}
    some: dict[str, Any] = {"type": "array", "items": name, "minItems": 1}
    edge = {"type": "array", "items": name, "minItems": 2, "maxItems": 2}
    graph = schema["properties"]["graph"]
    graph["properties"] |= {"edges": {**some, "items": edge}, "start": some, "accept": some}
    schema["properties"] |= {"persona": {"enum": list(personas)}, "tools": some}
    for each in (graph, schema):
        each["required"] = list(each["properties"])
    return schema


def _schema(annotation: Any) -> dict[str, Any]:
    """Return the schema of a type annotation."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in _NAME_BY_PRIMITIVE:
        return {"type": _NAME_BY_PRIMITIVE[annotation]}
    if origin in {Union, UnionType}:
        return {"anyOf": [_schema(each) for each in args]}
    if origin is tuple:
        bounds = {} if args[-1] is Ellipsis else {"minItems": len(args), "maxItems": len(args)}
        return {"type": "array", "items": _schema(args[0]), **bounds}
    if issubclass(annotation, StrEnum):
        return {"enum": [str(member) for member in annotation]}
    if annotation is Key:
        return {"anyOf": [_key(key_type) for key_type in get_args(AnyKeyType)]}
    return _key_type(annotation) if annotation in get_args(AnyKeyType) else _object(annotation)


def _object(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {
        "type": "object",
        "properties": {each.name: _schema(hints[each.name]) for each in fields(cls)},
        "required": [each.name for each in fields(cls) if each.default is MISSING],
        "additionalProperties": False,
    }


def _key_type(cls: Any) -> dict[str, Any]:
    """Return the schema of a key type's record: its name under "type", beside its bounds."""
    schema = _object(cls)
    if cls is Integer:
        del schema["properties"]["places"]
    schema["properties"]["type"] = {"const": cls.name}
    schema["required"].append("type")
    return schema


def _key(cls: Any) -> dict[str, Any]:
    """Return the schema of a key of one type, which is written flat: the type's record beside the key's own fields."""
    schema, typed = _object(Key), _key_type(cls)
    schema["properties"] |= typed["properties"]
    schema["required"] = sorted({*schema["required"], *typed["required"]})
    return schema
