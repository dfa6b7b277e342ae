"""From a response to its verdict: every rule runs, every finding has its place, root causes come first."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from protocol.diagnostics import CodeFamily, Diagnostic
from protocol.keys.literals import Unread, Value
from protocol.labels import Labels
from protocol.plans.plan import Plan
from protocol.response.reader import read
from protocol.response.reading import Reading, WrittenCall
from protocol.response.statements import Statement
from protocol.response.trace import Call, Response, Trace
from protocol.rules import Finding, Subject, all_rules

_UNKNOWN = Labels()
_RANK = {family.value: rank for rank, family in enumerate(CodeFamily)}


@dataclass(frozen=True)
class Verdict:
    """What there is to say about one response under one plan."""

    reading: Reading
    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    """Ranked: structure before typing before graph before coherence before evidence, then by place."""
    statements: tuple[Statement, ...] = field(default=(), compare=False, repr=False)
    """What the calls state about the query, in order."""

    @property
    def is_valid(self) -> bool:
        """Whether there is no structure, typing or graph diagnostic."""
        return not any(diagnostic.is_fatal for diagnostic in self.diagnostics)

    @property
    def is_coherent(self) -> bool:
        """Whether there is no coherence diagnostic."""
        return not any(diagnostic.family is CodeFamily.COHERENCE for diagnostic in self.diagnostics)

    @cached_property
    def response(self) -> Response:
        """The response as values: typed where the key can read the spelling, `Unread` elsewhere."""
        return Response(Trace(tuple(_call(call, self.plan) for call in self.reading.calls)), self.reading.answer)


def diagnose(text: str, plan: Plan, labels: Labels = _UNKNOWN, query: str | None = None) -> Verdict:
    """Judge a response.

    Args:
        text: the response as the model wrote it; any text.
        plan: the plan it answers to.
        labels: what is known of the query; evidence rules stay silent about the rest.
        query: the user's words; where they are not known, the answer is compared with the trace alone.
    """
    subject = Subject(read(text), plan, labels, query)
    found = [(code, finding) for code, rule in all_rules().items() for finding in rule(subject)]
    return Verdict(subject.reading, plan, _located(found, text) if found else (), subject.statements)


def _located(found: Sequence[tuple[str, Finding]], text: str) -> tuple[Diagnostic, ...]:
    """Return the findings with lines and columns, ranked."""
    line_starts = [0, *(newline.end() for newline in re.finditer("\n", text))]
    diagnostics = []
    for code, finding in found:
        line = bisect_right(line_starts, finding.start)
        column = finding.start - line_starts[line - 1] + 1
        diagnostics.append(Diagnostic(code, finding.message, line, column, finding.expected, finding.hint))
    return tuple(sorted(diagnostics, key=by_root_cause))


def by_root_cause(diagnostic: Diagnostic) -> tuple[int, int, int, str]:
    """Sort key: family in the order in which one fault causes others, then place, then code."""
    return (_RANK[diagnostic.code[0]], diagnostic.line, diagnostic.column, diagnostic.code)


def _call(written: WrittenCall, plan: Plan) -> Call:
    tool = plan.by_name.get(written.name)
    args: dict[str, Value] = {}
    repeated = []
    for pair in written.pairs:
        if pair.key in args:
            repeated.append(pair.key)
            continue
        key = tool.key(pair.key) if tool else None
        args[pair.key] = key.type.value(pair.literal) if key else Unread(pair.literal.text)
    return Call(written.name, args, tuple(dict.fromkeys(repeated)))
