"""Which synthesized rows a judge finds good enough: safe each, and helpful and rigorous on average."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from data.images import portable, read_image
from data.teacher.conversation import Fate, Outcome
from data.teacher.synthesis import Filter
from eval.judges import Item, Judge, Judgement
from eval.scores.response import Unscored


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a row has to reach."""

    min_safety: float
    """Least safety, -3..3."""
    min_mean: float
    """Least mean of helpfulness and rigor, 0..3."""


def judging(judge: Judge, bounds: Bounds, root: Path, ground: str) -> Filter:
    """Return the filter of a judge.

    Args:
        judge: asked about a few rows at a time.
        bounds: what is kept.
        root: the folder that images are relative to.
        ground: colour that transparent pictures are put on, as for the teacher.
    """

    def filtered(outcomes: Sequence[Outcome]) -> list[Outcome]:
        judgements = judge.judge_all([_item(outcome, root, ground) for outcome in outcomes])
        return [apply_judgement(outcome, each, bounds) for outcome, each in zip(outcomes, judgements, strict=True)]

    return filtered


def apply_judgement(outcome: Outcome, judgement: Judgement, bounds: Bounds) -> Outcome:
    """Return an outcome with what the judge makes of it."""
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


def _item(outcome: Outcome, root: Path, ground: str) -> Item:
    if outcome.verdict is None:
        raise ValueError(f"{outcome.job.row_id}: only what became a row is judged")
    query = outcome.job.query
    return Item(outcome.verdict, query.labels, query.text, partial(_pictures, query.images, root, ground))


def _pictures(sources: Sequence[str], root: Path, ground: str) -> list[bytes]:
    return [portable(read_image(source, root), ground, name=source)[1] for source in sources]
