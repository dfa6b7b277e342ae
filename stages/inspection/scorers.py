"""Provides every metric of `eval/results/metrics.py` as a scorer of Inspect, with our interval beside Inspect's mean.

A sample that a metric does not cover has no score. A sample that could not be judged is Inspect's unscored, with the
reason, and is not part of a mean. The judge sees each sample once, for all scorers.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import anyio.to_thread
from inspect_ai.scorer import Metric as InspectMetric
from inspect_ai.scorer import SampleScore, Score, Scorer, Target, Value, mean, metric, scorer, stderr
from inspect_ai.solver import TaskState

from data.pictures.images import read_image
from eval.grading import score_items
from eval.judges import Item, Judge
from eval.results.metrics import METRICS, Metric, metric_by_name
from eval.results.samples import Sample
from eval.scores.response import Unscored
from eval.statistics.intervals import Observation, estimate
from protocol import Labels, Plan, diagnose
from stages.arguments.judge import JudgeArguments, build_judge
from stages.inspection.naming import PREFIX, ours
from stages.inspection.samples import PLAN, metadata_text, pictures_of

_MAX_KEPT = 1024
"""Number of samples whose scores are cached: those that are scored at the same time."""


class Grader:
    """A judge with a cache of the latest scored samples."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._kept: OrderedDict[tuple[str, str, str], Sample] = OrderedDict()

    async def grade(self, state: TaskState) -> Sample:
        """Return the scored response of a sample.

        Raises:
            UserError: the sample does not belong to our tasks.
            eval.judges.JudgeError: the judge cannot go on.
        """
        key = (str(state.uuid), str(state.sample_id), state.output.completion)
        if key not in self._kept:
            graded = await anyio.to_thread.run_sync(partial(self._grade, state))
            self._kept[key] = graded
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _grade(self, state: TaskState) -> Sample:
        metadata, text = state.metadata, state.output.completion
        labels, plan = Labels.from_json(metadata["labels"]), metadata_text(metadata, PLAN)
        query = metadata_text(metadata, "query")
        item = Item.of(text, Plan.from_json(plan), labels, query, partial(_pictures, state))
        (scores,) = score_items([item], self.judge)
        return Sample(
            id=str(state.sample_id),
            kind=metadata_text(metadata, "kind"),
            query=query,
            images=(),
            plan=plan,
            labels=labels,
            response=text,
            scores={name: None if isinstance(score, Unscored) else score for name, score in scores.items()},
            unscored={name: score.reason for name, score in scores.items() if isinstance(score, Unscored)},
            diagnostics=tuple(found.to_json() for found in item.verdict.diagnostics),
        )


@cache
def grader_of(arguments: JudgeArguments) -> Grader:
    """Return the shared grader of a judge.

    Raises:
        StageError: an option that the judge needs is missing.
    """
    return Grader(build_judge(arguments))


@metric(name=PREFIX + "interval")
@ours
def interval(name: str) -> InspectMetric:
    """Report the bounds of our 95 % interval of a metric (`eval/statistics/intervals.py`)."""
    measured = metric_by_name[name]

    def compute(scores: list[SampleScore]) -> Value:
        observed = [Observation(str(each.sample_id), 0, each.score.as_float()) for each in scores]
        # Inspect gives the mean of several epochs of a sample, which is no longer 0 or 1.
        is_share = measured.is_share and all(each.value in measured.scale for each in observed)
        found = estimate(observed, scale=measured.scale, is_share=is_share)
        if found.low is None or found.high is None:
            return {}
        return {"low": found.low, "high": found.high}

    return compute


def _register(measured: Metric) -> Callable[..., Scorer]:
    """Register the scorer of a metric; its arguments choose the judge."""

    @scorer(metrics=[mean(), stderr(), interval(measured.name)], name=PREFIX + measured.name)
    @ours
    def build(judge: str = "rule", judge_url: str | None = None, judge_model: str | None = None) -> Scorer:
        grader = grader_of(JudgeArguments(judge=judge, judge_url=judge_url, judge_model=judge_model))  # type: ignore[arg-type]

        async def score(state: TaskState, target: Target) -> Score | None:
            del target  # the labels have the expected result
            sample = await grader.grade(state)
            return score_of(measured, sample) if measured.applies(sample) else None

        return score

    registered: Callable[..., Scorer] = build
    return registered


def score_of(measured: Metric, sample: Sample) -> Score:
    """Return the value of a metric for a sample, with the diagnostics as explanation."""
    value = measured.measure(sample)
    faults = "\n".join(
        f"{each['line']}:{each['column']} {each['code']} {each['message']}" for each in sample.diagnostics
    )
    if value is None:
        reasons = "; ".join(dict.fromkeys(sample.unscored.values()))
        return Score.unscored(explanation=f"unscored: {reasons}")
    return Score(value=value, answer=_visible_answer(sample), explanation=faults or "no diagnostics")


def _visible_answer(sample: Sample) -> str:
    """Return the part of the response that a user sees."""
    return diagnose(sample.response, Plan.from_json(sample.plan)).reading.visible_answer


def _pictures(state: TaskState) -> tuple[bytes, ...]:
    """Return the pictures of a sample; our tasks store them as `data:` URIs."""
    return tuple(read_image(source, Path()) for source in pictures_of(state.messages))


scorer_by_name = {measured.name: _register(measured) for measured in METRICS}
"""Name of a metric -> builder of its scorer."""
