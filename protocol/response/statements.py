"""What the calls of a response state about the query, by role: the typed content that rules and scores compare."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocol.keys.key_type import KeyFault
from protocol.keys.literals import Value
from protocol.labels import Decision
from protocol.plans.plan import Plan
from protocol.plans.tools import Key, Role, Tool
from protocol.response.reading import Reading, WrittenCall, WrittenPair


class JudgedPair(NamedTuple):
    """A written pair whose key its tool declares, with what is wrong with the value."""

    key: Key
    written: WrittenPair
    faults: tuple[KeyFault, ...]


class JudgedCall(NamedTuple):
    """A call of a tool of the plan, with its declared pairs."""

    tool: Tool
    written: WrittenCall
    pairs: tuple[JudgedPair, ...]


class Statement(NamedTuple):
    """One well-typed value whose key has a role, or a decision that a tool implies."""

    role: Role
    value: Value
    tool: str
    key: str
    """The key; "" where calling the tool is the statement."""
    start: int
    """Offset of the value, or of the call."""


def judge_calls(reading: Reading, plan: Plan) -> Iterator[JudgedCall]:
    """Yield the calls whose tool the plan has, each value judged by its key."""
    for call in reading.calls:
        if tool := plan.by_name.get(call.name):
            known = ((tool.key(pair.key), pair) for pair in call.pairs)
            pairs = (JudgedPair(key, pair, tuple(key.type.faults(pair.literal))) for key, pair in known if key)
            yield JudgedCall(tool, call, tuple(pairs))


def statements(reading: Reading, plan: Plan) -> Iterator[Statement]:
    """Yield the statements of a response in order; a value with a typing fault is not a statement."""
    return statements_of(judge_calls(reading, plan))


def statements_of(calls: Iterable[JudgedCall]) -> Iterator[Statement]:
    """Yield the statements of judged calls in order."""
    for call in calls:
        for pair in call.pairs:
            key, literal = pair.key, pair.written.literal
            if key.role and not pair.faults:
                yield Statement(key.role, key.type.value(literal), call.tool.name, key.name, literal.start)
        if call.tool.implies is not None:
            yield Statement(Role.DECISION, str(call.tool.implies), call.tool.name, "", call.written.start)


def last_decision(stated: Iterable[Statement]) -> Decision | None:
    """Return the last of the decisions among statements, or None."""
    decisions = [str(found.value) for found in stated if found.role is Role.DECISION]
    return Decision(decisions[-1]) if decisions and decisions[-1] in set(Decision) else None
