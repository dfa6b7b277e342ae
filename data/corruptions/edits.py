"""How corruptions change an example: one call, one value, one role, or the decision with all that follows from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from data.corruptions.registry import Example
from data.synthesis import reference_path, template_args
from protocol import Call, Decision, Plan, Response, Risk, Trace, Word
from protocol.keys.key_type import KeyType
from protocol.keys.literals import Value
from protocol.plans.tools import Key, Role


@dataclass(frozen=True, slots=True)
class Slot:
    """One value of a trace, with the key that declares it."""

    place: int
    """Of the call in the trace, from 0."""
    key: Key
    value: Any


def replaced(example: Example, place: int, *, tool: str = "", args: dict[str, Value] | None = None) -> str:
    """Return the text with another tool or other values in one call."""
    calls = list(example.calls)
    calls[place] = Call(tool or calls[place].tool, calls[place].args if args is None else args)
    return example.with_calls(calls)


def typed_slots(example: Example, key_type: type[KeyType]) -> list[Slot]:
    """Return the values whose key is of a type."""
    return [
        Slot(place, key, call.args[key.name])
        for place, call in enumerate(example.calls)
        for key in example.plan.by_name[call.tool].keys
        if isinstance(key.type, key_type) and key.name in call.args
    ]


def with_slot(example: Example, rng: Random, slots: Sequence[Slot], change: Callable[[Slot], Value]) -> str | None:
    """Return the text with the value of one of the slots changed, or None where there is none."""
    if not slots:
        return None
    slot = rng.choice(slots)
    return replaced(example, slot.place, args={**example.calls[slot.place].args, slot.key.name: change(slot)})


def set_role(calls: Sequence[Call], plan: Plan, role: Role, value: Value) -> list[Call]:
    """Return the calls with every key of a role set to a value."""
    return [
        Call(call.tool, {key: value if _role_of(plan, call, key) is role else old for key, old in call.args.items()})
        for call in calls
    ]


def _role_of(plan: Plan, call: Call, name: str) -> Role | None:
    key = plan.by_name[call.tool].key(name)
    return key.role if key else None


def with_role(example: Example, role: Role, value: Value) -> str | None:
    """Return the text with every value of a role replaced, or None where the trace states none."""
    changed = set_role(example.calls, example.plan, role, value)
    return None if changed == list(example.calls) else example.with_calls(changed)


def states_decision(example: Example, call: Call) -> bool:
    """Whether a call states a decision, by a key or by being made."""
    return example.plan.by_name[call.tool].states_decision


def other_risk(risk: Risk | None) -> Word:
    """Return the opposite risk; of an unknown one, unsafe."""
    return Word(Risk.SAFE if risk is Risk.UNSAFE else Risk.UNSAFE)


def other_decision(example: Example) -> Decision:
    """Return a decision against the combined risk."""
    return Decision.COMPLY if example.query.labels.combined_risk is Risk.UNSAFE else Decision.REFUSE


def decided_otherwise(example: Example) -> Response | None:
    """Return the response with the opposite decision, path and answer, and unchanged tags.

    None where there is no such answer, or where the trace states no combined risk for the decision to go against.
    """
    if with_role(example, Role.COMBINED_RISK, Word("")) is None:
        return None
    decision = other_decision(example)
    query = replace(example.query, labels=replace(example.query.labels, decision=decision))
    answered = example.with_answer(decision)
    if answered is None:
        return None
    calls = [Call(tool.name, template_args(tool, query)) for tool in reference_path(example.plan, decision)]
    return replace(answered, trace=Trace(tuple(calls)))


def answered_otherwise(example: Example, risk: Risk, decision: Decision) -> str | None:
    """Return the text with the reference answer of a decision, for queries of one combined risk."""
    if example.query.labels.combined_risk is not risk:
        return None
    answered = example.with_answer(decision)
    return None if answered is None else answered.render()


def misjudged(example: Example, risk: Risk) -> str | None:
    """Turn the combined risk, and with it score, category, decision and answer, into their opposite."""
    spoilt = decided_otherwise(example) if example.query.labels.combined_risk is risk else None
    if spoilt is None:
        return None
    is_unsafe = risk is Risk.UNSAFE
    opposite: dict[Role, Value] = {
        Role.COMBINED_RISK: other_risk(risk),
        Role.RISK_SCORE: 0.05 if is_unsafe else 0.95,
        Role.CATEGORY: Word("none" if is_unsafe else "other"),
    }
    calls: Sequence[Call] = spoilt.trace.calls
    for role, value in opposite.items():
        calls = set_role(calls, example.plan, role, value)
    return replace(spoilt, trace=Trace(tuple(calls))).render()
