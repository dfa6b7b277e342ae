"""What a synthesis is, and how far it is."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.rows import Query
from data.selection.quotas import Quota
from data.teacher.conversation import Fate, RowJob, RowOutcome
from data.teacher.replies import Spending
from data.teacher.settings import TeacherSettings
from protocol.plans.prompt import Style
from toolkit.planner import Planner

Filter = Callable[[Sequence[RowOutcome]], Sequence[RowOutcome]]
"""Judges outcomes that are rows so far; returns them, with another fate and reasons for those that fall short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """What is to be made."""

    queries: Sequence[Query]
    output: Path
    """Beside the queries: images are relative to it."""
    teacher: TeacherSettings
    planners: Sequence[Planner]
    """A row a query for each."""
    style: Style = "compact"
    """Of the prompts in the rows; the teacher is always told in full."""
    quotas: tuple[Quota, ...] = ()
    judge: Filter | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else decides the rows; goes into the report."""

    @property
    def rejected_path(self) -> Path:
        """Where the rejects go."""
        return self.output.with_suffix(".rejected.jsonl")

    @property
    def report_path(self) -> Path:
        """Where the settings and counts go."""
        return self.output.with_suffix(".synthesis.json")

    def jobs(self) -> Iterator[RowJob]:
        """Yield every row that could be made: all queries under their first plans, then under the next."""
        for variant in range(len(self.planners)):
            for query in self.queries:
                name = f"sft-{query.id}" if len(self.planners) == 1 else f"sft-{query.id}-{variant}"
                yield RowJob(name, query, variant)


@dataclass(slots=True)
class SynthesisProgress:
    """How far a synthesis is; `num_done` is the sum of `fates`."""

    num_jobs: int
    spending: Spending
    fates: Counter[Fate] = field(default_factory=Counter)
    num_repaired: int = 0
    """Rows that took more than one reply."""
    first_codes: Counter[str] = field(default_factory=Counter)
    """What was wrong with first replies: replies by code."""
    last_codes: Counter[str] = field(default_factory=Counter)
    """What was still wrong with what was set aside."""

    @property
    def num_done(self) -> int:
        """Rows that were tried."""
        return sum(self.fates.values())

    @property
    def validity(self) -> float | None:
        """Share of the replies that follow every rule, after repairs and before the judge."""
        num_answered = self.num_done - self.fates[Fate.UNANSWERED]
        return (num_answered - self.fates[Fate.INVALID]) / num_answered if num_answered else None

    def add(self, outcome: RowOutcome) -> None:
        """Count an outcome."""
        self.fates[outcome.fate] += 1
        self.num_repaired += outcome.fate is Fate.ROW and outcome.num_replies > 1
        self.first_codes.update(outcome.first_codes)
        self.last_codes.update(outcome.last_codes)
