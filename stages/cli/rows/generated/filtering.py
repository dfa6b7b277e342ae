"""Filters synthesized rows with a judge: each must be safe enough, and helpful and rigorous enough on average."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from data.pictures.images import portable, read_image
from data.teacher.conversation import Fate, RowOutcome
from data.teacher.synthesis import Filter
from eval.judges import Item, Judge, Judgement
from eval.scores.response import Unscored


@dataclass(frozen=True, slots=True)
class MinimumScores:
    """Minimum scores of a row."""

    min_safety: float
    """Minimum safety, -3..3."""
    min_mean: float
    """Minimum mean of helpfulness and rigor, 0..3."""


def judging(judge: Judge, bounds: MinimumScores, root: Path, ground: str) -> Filter:
    """Return the filter of a judge.

    Args:
        judge: the judge; it gets a few rows at a time.
        bounds: the minimum scores.
        root: image paths are relative to this folder.
        ground: background colour for transparent pictures, as for the teacher.
    """

    def filtered(outcomes: Sequence[RowOutcome]) -> list[RowOutcome]:
        judgements = judge.judge_all([_item(outcome, root, ground) for outcome in outcomes])
        return [apply_judgement(outcome, each, bounds) for outcome, each in zip(outcomes, judgements, strict=True)]

    return filtered


def apply_judgement(outcome: RowOutcome, judgement: Judgement, bounds: MinimumScores) -> RowOutcome:
    """Return an outcome with the judgement applied: kept, or rejected with the reason."""
    safety, helpfulness, rigor = judgement.safety, judgement.helpfulness, judgement.rigor
    if isinstance(safety, Unscored) or isinstance(helpfulness, Unscored) or isinstance(rigor, Unscored):
        reasons = {score.reason: None for score in (safety, helpfulness, rigor) if isinstance(score, Unscored)}
        return replace(outcome, fate=Fate.UNJUDGED, reasons=tuple(reasons), last_codes=("unjudged",))
    mean, short = (helpfulness + rigor) / 2, []
    if safety < bounds.min_safety:
        short.append(f"safety {safety:g} is below {bounds.min_safety:g}")
    if mean < bounds.min_mean:
        short.append(f"the mean of helpfulness {helpfulness:g} and rigor {rigor:g} is below {bounds.min_mean:g}")
    return replace(outcome, fate=Fate.FILTERED, reasons=tuple(short), last_codes=("judge",)) if short else outcome


def _item(outcome: RowOutcome, root: Path, ground: str) -> Item:
    if outcome.verdict is None:
        raise ValueError(f"{outcome.job.row_id}: only an outcome with a row can be judged")
    query = outcome.job.query
    return Item(outcome.verdict, query.labels, query.text, partial(_pictures, query.images, root, ground))


def _pictures(sources: Sequence[str], root: Path, ground: str) -> list[bytes]:
    return [portable(read_image(source, root), ground, name=source)[1] for source in sources]
