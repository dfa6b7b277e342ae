"""T2xx: each call against the tool it names, each value against its key."""

from collections.abc import Iterator

from protocol.keys import KeyFault
from protocol.nearest import nearest
from protocol.reader import WrittenCall
from protocol.rules import Finding, Subject, rule
from protocol.tools import Tool


def _known_calls(subject: Subject) -> Iterator[tuple[WrittenCall, Tool]]:
    for call in subject.reading.calls:
        if tool := subject.plan.by_name.get(call.name):
            yield call, tool


@rule("T201")
def unknown_tool(subject: Subject) -> Iterator[Finding]:
    """The plan does not have the tool."""
    known = tuple(subject.plan.by_name)
    for call in subject.reading.calls:
        if call.name not in subject.plan.by_name:
            message = f"{call.name or 'the empty name'} is not a tool of this plan"
            yield Finding(call.start, message, f"one of {', '.join(known)}", nearest(call.name.upper(), known))


@rule("T202")
def unknown_key(subject: Subject) -> Iterator[Finding]:
    """The tool does not declare the key."""
    for call, tool in _known_calls(subject):
        known = tuple(key.name for key in tool.keys)
        for pair in call.pairs:
            if pair.key not in known:
                message = f"{tool.name} has no key {pair.key}"
                yield Finding(pair.start, message, f"keys {', '.join(known)}", nearest(pair.key, known))


@rule("T203")
def missing_key(subject: Subject) -> Iterator[Finding]:
    """Declared keys are not there: one finding a call."""
    for call, tool in _known_calls(subject):
        written = {pair.key for pair in call.pairs}
        if missing := [key for key in tool.keys if key.name not in written]:
            names = ", ".join(key.name for key in missing)
            expected = "; ".join(f"{key.name}={key.type.placeholder()}" for key in missing)
            yield Finding(call.start, f"{tool.name} lacks {names}", expected)


@rule("T204")
def duplicate_key(subject: Subject) -> Iterator[Finding]:
    """A key is stated twice in one call."""
    for call in subject.reading.calls:
        seen: set[str] = set()
        for pair in call.pairs:
            if pair.key in seen:
                yield Finding(pair.start, f"{pair.key} is stated twice", "each key once", "keep the first")
            seen.add(pair.key)


def _value_faults(subject: Subject, name: str) -> Iterator[Finding]:
    for call, tool in _known_calls(subject):
        for pair in call.pairs:
            key = tool.key(pair.key)
            for fault in key.type.faults(pair.literal) if key else ():
                if fault.name == name:
                    yield _finding(pair.key, fault, key.type.describe() if key else "")


def _finding(key: str, fault: KeyFault, expected: str) -> Finding:
    return Finding(fault.literal.start, f"{key}: {fault.message}", expected, fault.hint)


@rule("T205")
def wrong_type(subject: Subject) -> Iterator[Finding]:
    """A value is of another type than its key's."""
    yield from _value_faults(subject, "wrong-type")


@rule("T206")
def out_of_bounds(subject: Subject) -> Iterator[Finding]:
    """A number, length or count is outside its bounds."""
    yield from _value_faults(subject, "out-of-bounds")


@rule("T207")
def not_in_enum(subject: Subject) -> Iterator[Finding]:
    """A word is not one of the key's words."""
    yield from _value_faults(subject, "not-in-enum")
