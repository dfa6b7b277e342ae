"""The JSON Schema (2020-12) of a parsed trace under a plan: the object that `Trace.to_json` returns.

It decides typing and nothing else: it accepts the trace of a response exactly if there is no T2xx diagnostic. Structure
rules decide whether there is a call at all; the graph decides how many calls, in which order.
"""

from typing import Any

from protocol.plans.plan import Plan
from protocol.plans.tools import Tool


def trace_schema(plan: Plan) -> dict[str, Any]:
    """Return the schema: each call's tool and keys; the order of calls is the grammar's business."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Trace of plan {plan.fingerprint}",
        "type": "object",
        "properties": {
            "calls": {
                "type": "array",
                "items": {"oneOf": [_call_schema(tool) for tool in plan.tools]},
            }
        },
        "required": ["calls"],
        "additionalProperties": False,
    }


def _call_schema(tool: Tool) -> dict[str, Any]:
    return {
        "type": "object",
        "description": tool.about,
        "properties": {
            "tool": {"const": tool.name},
            "args": {
                "type": "object",
                "properties": {key.name: {**key.type.schema(), "description": key.about} for key in tool.keys},
                "required": [key.name for key in tool.keys],
                "additionalProperties": False,
            },
        },
        "required": ["tool", "args"],
        "additionalProperties": False,
    }
