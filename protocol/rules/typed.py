"""T2xx: each call against the tool it names, each value against its key."""

from collections.abc import Iterator

from protocol.keys.key_type import TypeFaultName
from protocol.nearest import nearest, nearest_name
from protocol.rules import Finding, Subject, rule


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
    for call in subject.calls:
        known = call.tool.by_name
        for pair in call.written.pairs:
            if pair.key not in known:
                message = f"{call.tool.name} has no key {pair.key}"
                yield Finding(pair.start, message, f"keys {', '.join(known)}", nearest(pair.key, known))


@rule("T203")
def missing_key(subject: Subject) -> Iterator[Finding]:
    """Declared keys are missing: one finding a call. A misspelt key is reported by T202 only."""
    for call in subject.calls:
        if call.written.is_prose:  # has its fault already, once for the trace
            continue
        written = {pair.key.name for pair in call.pairs}
        if len(call.pairs) < len(call.written.pairs):
            unknown = [pair.key for pair in call.written.pairs if pair.key not in call.tool.by_name]
            written.update(filter(None, (nearest_name(name, call.tool.by_name) for name in unknown)))
        if missing := [key for key in call.tool.keys if key.name not in written]:
            names = ", ".join(key.name for key in missing)
            expected = "; ".join(f"{key.name}={key.type.placeholder()}" for key in missing)
            yield Finding(call.written.start, f"{call.tool.name} lacks {names}", expected)


@rule("T204")
def duplicate_key(subject: Subject) -> Iterator[Finding]:
    """A key is stated twice in one call."""
    for call in subject.reading.calls:
        seen: set[str] = set()
        for pair in call.pairs:
            if pair.key in seen:
                yield Finding(pair.start, f"{pair.key} is stated twice", "each key once", "keep the first")
            seen.add(pair.key)


def _value_faults(subject: Subject, name: TypeFaultName) -> Iterator[Finding]:
    for pair in subject.faulty:
        for fault in pair.faults:
            if fault.name == name:
                message = f"{pair.key.name}: {fault.message}"
                yield Finding(fault.literal.start, message, pair.key.type.describe(), fault.hint)


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
