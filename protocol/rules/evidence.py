"""E5xx: the trace's claims against the query's labels. Silent where a label is not known."""

from collections.abc import Iterator

from protocol.plans.tools import Role
from protocol.rules import Finding, Subject, rule


def normalise(text: str) -> str:
    """Return a text as evidence is compared: lower case, blanks joined."""
    return " ".join(text.lower().split())


@rule("E501")
def object_not_there(subject: Subject) -> Iterator[Finding]:
    """A claimed object is not in the picture."""
    there = subject.labels.objects
    if there is None:
        return
    known = {normalise(name) for name in there}
    for found in subject.statements:
        if found.role is Role.OBJECTS and isinstance(found.value, tuple):
            for name in found.value:
                if normalise(name) not in known:
                    expected = f"one of {', '.join(sorted(known))}" if known else "an empty list"
                    yield Finding(found.start, f"{name!r} is not in the picture", expected)


@rule("E502")
def text_misread(subject: Subject) -> Iterator[Finding]:
    """The quoted text is not what is written."""
    if subject.labels.texts is None:
        return
    written = normalise(" ".join(subject.labels.texts))
    for found in subject.statements:
        if found.role is Role.WRITTEN_TEXT and normalise(str(found.value)) != written:
            yield Finding(found.start, f"{found.value!r} is not what is written in the picture", repr(written))


@rule("E503")
def tag_wrong(subject: Subject) -> Iterator[Finding]:
    """A risk tag differs from the label."""
    labels = subject.labels
    truth = {
        Role.IMAGE_RISK: labels.image_risk,
        Role.TEXT_RISK: labels.text_risk,
        Role.COMBINED_RISK: labels.combined_risk,
    }
    for found in subject.statements:
        label = truth.get(found.role)
        if label is not None and found.value != label:
            yield Finding(found.start, f"{found.key}={found.value} is not what the query is labelled", str(label))
