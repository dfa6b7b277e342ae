"""What the tolerant reader returns: the calls and the answer of a response as written, and its faults of form."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from protocol.keys.literals import WrittenLiteral

FormFaultName = Literal[
    "no-thinking",
    "no-answer",
    "unclosed-block",
    "text-outside",
    "malformed-call",
    "empty-trace",
    "empty-answer",
    "misplaced-block",
]


@dataclass(frozen=True, slots=True)
class FormFault:
    """One departure from the form of a response."""

    name: FormFaultName
    start: int
    """Offset in the response, in code points."""
    message: str
    expected: str
    hint: str = ""


MAX_FAULTS = 2_000
"""Faults of form of one response that are noted: a collapsed policy writes the same tag a thousand times."""


class WrittenPair(NamedTuple):
    """One `key=value` as written."""

    key: str
    start: int
    literal: WrittenLiteral


class WrittenCall(NamedTuple):
    """One call line as written."""

    name: str
    start: int
    """Offset of the opening bracket."""
    pairs: tuple[WrittenPair, ...]
    is_prose: bool = False
    """Whether it goes on in words, without a pair."""


@dataclass(slots=True)
class Reading:
    """Everything found in one response."""

    text: str
    has_thinking: bool = False
    is_cut_off: bool = False
    """Whether the response ends within the thinking block."""
    answer: str | None = None
    answer_start: int = 0
    """Offset of the first character of the answer."""
    calls: list[WrittenCall] = field(default_factory=list)
    faults: list[FormFault] = field(default_factory=list)
    outside: str = ""
    """The text outside the blocks, blanks stripped."""

    @property
    def visible_answer(self) -> str:
        """What a user would see: the answer, or everything outside the thinking block."""
        return self.outside if self.answer is None else self.answer

    def fault(self, name: FormFaultName, start: int, message: str, expected: str, hint: str = "") -> None:
        """Note a fault, up to `MAX_FAULTS`."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(FormFault(name, start, message, expected, hint))
