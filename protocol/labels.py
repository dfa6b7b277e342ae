"""What is known to be true of a query: the ground truth that coherence and evidence rules, scores and rewards read.

Every field may be None, which means *not known*. A rule that needs a field that is None stays silent, and a score that
needs it is unscored. "Not known" is never a number.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from protocol.errors import UserError


class Risk(StrEnum):
    """Whether acting on a modality could do harm."""

    SAFE = "safe"
    UNSAFE = "unsafe"


class Decision(StrEnum):
    """What the responder does with a query."""

    COMPLY = "comply"
    REDIRECT = "redirect"
    REFUSE = "refuse"


class LabelsError(UserError):
    """Labels that cannot be read; the message names the field and what was expected."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Ground truth of one query."""

    image_risk: Risk | None = None
    """Risk of the pictures alone."""
    text_risk: Risk | None = None
    """Risk of the words alone."""
    combined_risk: Risk | None = None
    """Risk of words and pictures together: both may be harmless alone and unsafe together."""
    category: str | None = None
    """Harm category; "none" for a query without harm."""
    decision: Decision | None = None
    """The expected decision."""
    objects: tuple[str, ...] | None = None
    """Everything that can be seen in the pictures; () for an empty picture."""
    texts: tuple[str, ...] | None = None
    """Everything that is written in the pictures; () where nothing is."""
    facts: tuple[str, ...] | None = None
    """Words that a helpful answer contains, each on its own."""
    distractors: tuple[str, ...] | None = None
    """Words that a right answer does not contain: the alternatives to its facts, such as the other colours."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with every field, None included, so that columns keep one type."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Labels":
        """Read labels from a JSON object.

        Raises:
            LabelsError: an unknown field, or a value of the wrong kind.
        """
        if not isinstance(record, Mapping):
            raise LabelsError(f"labels: expected an object, found {record!r}")
        known = cls.__dataclass_fields__.keys()
        if unknown := sorted(record.keys() - known):
            raise LabelsError(f"labels: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
        values: dict[str, Any] = {}
        for name, value in record.items():
            if value is None:
                continue
            if name in _ENUMS:
                values[name] = _member(name, _ENUMS[name], value)
            elif name == "category":
                values[name] = _string(name, value)
            else:
                values[name] = _strings(name, value)
        return cls(**values)


_ENUMS: dict[str, type[Risk | Decision]] = {
    "image_risk": Risk,
    "text_risk": Risk,
    "combined_risk": Risk,
    "decision": Decision,
}


def _member(name: str, enum: type[Risk] | type[Decision], value: Any) -> StrEnum:
    try:
        return enum(value)
    except ValueError:
        raise LabelsError(f"labels.{name}: expected one of {', '.join(enum)}, found {value!r}") from None


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise LabelsError(f"labels.{name}: expected a string, found {value!r}")
    return value


def _strings(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise LabelsError(f"labels.{name}: expected a list of strings, found {value!r}")
    return tuple(value)
