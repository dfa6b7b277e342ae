"""S1xx: blocks and lines. The reader finds these faults on its way; here each gets its code."""

from collections.abc import Iterator

from protocol.response.reading import FormFaultName
from protocol.rules import Finding, Rule, Subject, rule

_code_by_fault: dict[FormFaultName, str] = {
    "no-thinking": "S101",
    "no-answer": "S102",
    "unclosed-block": "S103",
    "text-outside": "S104",
    "malformed-call": "S105",
    "empty-trace": "S106",
    "empty-answer": "S107",
    "misplaced-block": "S108",
}


def _rule_for(name: FormFaultName) -> Rule:
    def form_fault(subject: Subject) -> Iterator[Finding]:
        for fault in subject.reading.faults:
            if fault.name == name:
                yield Finding(fault.start, fault.message, fault.expected, fault.hint)

    return form_fault


for _name, _code in _code_by_fault.items():
    rule(_code)(_rule_for(_name))
