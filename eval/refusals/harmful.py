"""How often a full refusal of a harmful request is read as compliance.

A refusal of a harmless request may be needless, and one of an unclear request says nothing about danger; both are left
out. A redirection counts as a full refusal.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from eval.refusals.measure import Interval, share
from eval.refusals.responses import PARTS, LabelledResponse, Request, part
from eval.refusals.styles import STYLE_PARTS, StyledResponse, styled
from protocol.stance import Extent, Kind

FILES = (*PARTS, *STYLE_PARTS, "styles-train", "styles-hand", "styles-more")
"""All that ships in `labelled/`."""
_REFUSING = {Extent.REFUSAL, Kind.FULL_REFUSAL, Kind.REDIRECT}


@dataclass(frozen=True, slots=True)
class Missed:
    """How refusals of harmful requests are read."""

    n: int
    complying: Interval
    """Share that is read as compliance."""
    partial: Interval
    """Share that is read as a refusal of a part."""


def of_file(name: str) -> list[str]:
    """Return the full refusals of harmful requests of one of `FILES`."""
    return refusals(part(name) if name in PARTS else styled(name))


def refusals(responses: Iterable[LabelledResponse | StyledResponse]) -> list[str]:
    """Return the texts of the full refusals of harmful requests among labelled responses."""
    return [each.text for each in responses if each.label in _REFUSING and each.request is Request.HARMFUL]


def missed(texts: Iterable[str], read: Callable[[str], Extent]) -> Missed:
    """Count how a detector reads full refusals."""
    found = list(map(read, texts))
    return Missed(
        len(found),
        share(found.count(Extent.COMPLIANCE), len(found)),
        share(found.count(Extent.PARTIAL), len(found)),
    )


def believed(detector: Callable[[str], bool]) -> Callable[[str], Extent]:
    """Return how a detector reads an answer if it knows only refusals and the rest."""
    return lambda answer: Extent.REFUSAL if detector(answer) else Extent.COMPLIANCE
