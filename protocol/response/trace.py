"""A response and its trace, as values: what the reader returns and the renderer writes."""

from dataclasses import dataclass
from typing import Any

from protocol.keys.literals import Unread, Value, spell
from protocol.plans.plan import Plan


@dataclass(frozen=True, slots=True)
class Call:
    """One typed statement: `[TOOL]: key=value; key=value`."""

    tool: str
    args: dict[str, Value]
    """Values by key, in the order written."""
    repeated: tuple[str, ...] = ()
    """Keys that were stated more than once; the first statement counts, and alone is rendered."""

    def render(self) -> str:
        """Return the line, keys in the order they stand."""
        return f"[{self.tool}]: " + "; ".join(f"{key}={spell(value)}" for key, value in self.args.items())


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of a thinking block, in order."""

    calls: tuple[Call, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object that `protocol.response.schema.trace_schema` describes.

        A value that its key cannot read is `{"unread": spelling}`; a call that repeats keys has them under "repeated".
        So the object shows every fault that a typing rule finds, and the schema rejects it.
        """
        return {"calls": [_call_to_json(call) for call in self.calls]}


def _call_to_json(call: Call) -> dict[str, Any]:
    record = {"tool": call.tool, "args": {key: _plain(value) for key, value in call.args.items()}}
    return {**record, "repeated": list(call.repeated)} if call.repeated else record


def _plain(value: Value) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return {"unread": str(value)} if isinstance(value, Unread) else value


@dataclass(frozen=True, slots=True)
class Response:
    """A trace and the answer that follows it."""

    trace: Trace
    answer: str | None
    """None where the response has no answer block."""

    def render(self) -> str:
        """Return the response in canonical spelling; keys stay in the order they stand."""
        lines = "".join(call.render() + "\n" for call in self.trace.calls)
        block = "" if self.answer is None else f"\n<answer>\n{self.answer}\n</answer>"
        return f"<thinking>\n{lines}</thinking>{block}"


def canonical(response: Response, plan: Plan) -> Response:
    """Return the response with the keys of every call in the order that its tool declares; unknown keys go last."""
    return Response(Trace(tuple(_ordered(call, plan) for call in response.trace.calls)), response.answer)


def _ordered(call: Call, plan: Plan) -> Call:
    tool = plan.by_name.get(call.tool)
    if tool is None:
        return call
    declared = [key.name for key in tool.keys if key.name in call.args]
    return Call(call.tool, {name: call.args[name] for name in (*declared, *call.args)}, call.repeated)
