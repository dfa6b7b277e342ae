"""The scores of harnesses: one benchmark of one checkpoint, and tables over stages and seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

_Z = 1.959964
"""Quantile for a 95 % interval of a normal distribution."""


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """One number that a harness reports about one checkpoint."""

    harness: str
    """lm-eval or VLMEvalKit."""
    benchmark: str
    """The harness's name of the benchmark, with its version if the harness states one."""
    metric: str
    """The harness's name of the metric, such as "acc" or "exact_match (strict-match)"."""
    value: float | None
    """As reported; None if the harness could not score the benchmark."""
    standard_error: float | None = None
    """As reported; VLMEvalKit reports none."""
    n: int | None = None
    """Number of questions; None if the harness does not state it."""
    is_higher_better: bool | None = None
    """None if the harness does not state it."""
    reason: str = ""
    """Reason for a missing value."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Harness, benchmark and metric; equal for the same number of different checkpoints."""
        return (self.harness, self.benchmark, self.metric)


@dataclass(frozen=True, slots=True)
class Pooled:
    """One number over the training seeds of a stage."""

    value: float | None
    """Mean over the seeds that have one."""
    low: float | None
    """Lower end of the 95 % interval, from the mean standard error of the harness. It covers other questions only."""
    high: float | None
    n: int | None
    num_seeds: int
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One row of the table: a number for each stage."""

    harness: str
    benchmark: str
    metric: str
    is_higher_better: bool | None
    by_stage: Mapping[str, Pooled]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields."""
        return asdict(self)


def benchmark_rows(stages: Mapping[str, Sequence[Sequence[BenchmarkScore]]]) -> list[BenchmarkRow]:
    """Return the table of the benchmark scores of the stages.

    Args:
        stages: stage -> the scores of each training seed, in the order of the stages.
    """
    keys = dict.fromkeys(score.key for seeds in stages.values() for scores in seeds for score in scores)
    rows = []
    for key in sorted(keys):
        found = {stage: _of(key, seeds) for stage, seeds in stages.items()}
        directions = {score.is_higher_better for scores in found.values() for score in scores} - {None}
        direction = directions.pop() if len(directions) == 1 else None
        rows.append(BenchmarkRow(*key, direction, {stage: pool(scores) for stage, scores in found.items() if scores}))
    return rows


def _of(key: tuple[str, str, str], seeds: Iterable[Sequence[BenchmarkScore]]) -> list[BenchmarkScore]:
    return [score for scores in seeds for score in scores if score.key == key]


def pool(scores: Sequence[BenchmarkScore]) -> Pooled:
    """Return the mean over seeds.

    >>> score = BenchmarkScore("lm-eval", "arc_easy", "acc", 0.5, standard_error=0.1, n=25)
    >>> found = pool([score, score])
    >>> found.value, round(found.low, 3), round(found.high, 3), found.num_seeds
    (0.5, 0.304, 0.696, 2)
    """
    scored = [score for score in scores if score.value is not None]
    if not scored:
        return Pooled(None, None, None, None, 0, next((score.reason for score in scores), ""))
    value = fmean(score.value for score in scored if score.value is not None)
    errors = [score.standard_error for score in scored if score.standard_error is not None]
    half = _Z * fmean(errors) if len(errors) == len(scored) else None
    counts = {score.n for score in scored}
    return Pooled(
        value,
        None if half is None else value - half,
        None if half is None else value + half,
        counts.pop() if len(counts) == 1 else None,
        len(scored),
    )
