"""The result types of checks: ok, a warning, or a failure, with advice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fails"]
_severity: dict[Level, int] = {"ok": 0, "warning": 1, "fails": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked fact."""

    level: Level
    what: str
    """The checked thing, in a word or two."""
    found: str
    advice: str = ""
    """What to do; empty if nothing needs to be done."""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one check, and a text to show below them."""

    title: str
    findings: tuple[Finding, ...]
    text: str = ""
    """Plain text, such as a histogram, a sample, or the parts of an estimate."""

    @property
    def level(self) -> Level:
        """The worst of the findings."""
        return worst([finding.level for finding in self.findings])


def worst(levels: Sequence[Level]) -> Level:
    """Return the worst of the levels; "ok" if there are none."""
    return max(levels, key=_severity.__getitem__, default="ok")


def problems(sections: Sequence[Section], level: Level = "fails") -> list[str]:
    """Return the findings of a level, one line each, with their advice."""
    return [
        f"{section.title}: {finding.what}: {finding.found}" + (f"; {finding.advice}" if finding.advice else "")
        for section in sections
        for finding in section.findings
        if finding.level == level
    ]
