"""What the calls of a response state about the query, by role: the typed content that rules and scores compare."""

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.labels import Decision
from protocol.literals import Value
from protocol.plan import Plan
from protocol.reader import Reading
from protocol.tools import Role


@dataclass(frozen=True, slots=True)
class Statement:
    """One well-typed value whose key has a role, or a decision that a tool implies."""

    role: Role
    value: Value
    tool: str
    key: str
    """The key; "" where calling the tool is the statement."""
    start: int
    """Offset of the value, or of the call."""


def statements(reading: Reading, plan: Plan) -> Iterator[Statement]:
    """Yield the statements of a response in order; values with a typing fault state nothing."""
    for call in reading.calls:
        tool = plan.by_name.get(call.name)
        if tool is None:
            continue
        for pair in call.pairs:
            key = tool.key(pair.key)
            if key and key.role and not any(key.type.faults(pair.literal)):
                value = key.type.value(pair.literal)
                yield Statement(key.role, value, tool.name, key.name, pair.literal.start)
        if tool.implies is not None:
            yield Statement(Role.DECISION, str(tool.implies), tool.name, "", call.start)


def stated_decision(reading: Reading, plan: Plan) -> Decision | None:
    """Return the last decision that the trace states, or None."""
    decisions = [str(found.value) for found in statements(reading, plan) if found.role is Role.DECISION]
    return Decision(decisions[-1]) if decisions and decisions[-1] in set(Decision) else None
