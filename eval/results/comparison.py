"""Compares two checkpoints: paired differences of all metrics, corrected for multiple tests, and changed outcomes.

The statistics are in `eval/statistics/paired.py`. Prompts are paired by id, and training seeds by position. If one
checkpoint has a single seed (there is only one base model), it is paired with each seed of the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.results.metrics import METRICS, Direction, Metric, Seeds
from eval.results.outcomes import QueryOutcome, outcome
from eval.results.samples import Sample
from eval.statistics.intervals import Estimate
from eval.statistics.paired import Pair, PairedDifference, holm, paired_difference
from protocol.errors import UserError

ALPHA = 0.05
"""A change is significant if its adjusted p value is below this level."""

SamplePair = tuple[int, Sample, Sample]
"""Index of the pair of seeds, and the two responses to a prompt."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one metric."""

    metric: Metric
    before: Estimate
    """Over the paired prompts only."""
    after: Estimate
    difference: PairedDifference
    p_adjusted: float | None
    """Adjusted by Holm's method over all metrics of the comparison."""

    @property
    def is_better(self) -> bool | None:
        """Whether the change is an improvement; None if it is not statistically significant."""
        value = self.difference.value
        if value is None or self.p_adjusted is None or self.p_adjusted >= ALPHA or value == 0:
            return None
        return (value > 0) == (self.metric.direction is Direction.HIGHER)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "metric": self.metric.name,
            "unit": self.metric.unit,
            "direction": str(self.metric.direction),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "difference": self.difference.to_json(),
            "p_adjusted": self.p_adjusted,
            "is_better": self.is_better,
        }


@dataclass(frozen=True, slots=True)
class Swing:
    """A prompt whose two responses are on different sides, such as different outcomes."""

    id: str
    seed: int
    kind: str
    query: str
    before: str
    after: str
    is_better: bool | None
    """Whether the change is an improvement; None if one side is unscored or both sides are wrong."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of two checkpoints on the same prompts."""

    before: str
    """Name of the first checkpoint."""
    after: str
    changes: tuple[Change, ...]
    """In the order of `eval.results.metrics.METRICS`."""
    swings: tuple[Swing, ...]
    num_prompts: int
    """Prompts that both checkpoints answered."""
    num_unpaired: int
    """Prompts that only one checkpoint answered; they are left out."""
    num_seeds: int

    @property
    def has_worsened(self) -> bool:
        """Whether a metric became significantly worse."""
        return any(change.is_better is False for change in self.changes)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "before": self.before,
            "after": self.after,
            "num_prompts": self.num_prompts,
            "num_unpaired": self.num_unpaired,
            "num_seeds": self.num_seeds,
            "metrics": [change.to_json() for change in self.changes],
            "changed": [swing.to_json() for swing in self.swings],
        }


def compare(before: Seeds, after: Seeds, *, names: tuple[str, str] = ("A", "B"), side: str = "outcome") -> Comparison:
    """Compare two checkpoints on the prompts that both answered.

    Args:
        before: samples of the first, one sequence for each training seed.
        after: samples of the second.
        names: names of the checkpoints.
        side: the sides for `swings`: "outcome", or the name of a metric that is a share.

    Raises:
        UserError: they share no prompt, or there is no such side.
    """
    pairs = list(_pairs(before, after))
    if not pairs:
        raise UserError(f"{names[0]} and {names[1]} share no prompt; compare evaluations of the same prompts file")
    sides = _sides(side)
    raw = [(metric, _difference(metric, pairs)) for metric in METRICS]
    adjusted = holm([difference.p_value for _, difference in raw])
    shared = {first.id for _, first, _ in pairs}
    everything = {sample.id for seeds in (before, after) for samples in seeds for sample in samples}
    num_seeds = len({seed for seed, _, _ in pairs})
    ours = [[first for each, first, _ in pairs if each == seed] for seed in range(num_seeds)]
    theirs = [[second for each, _, second in pairs if each == seed] for seed in range(num_seeds)]
    return Comparison(
        *names,
        changes=tuple(
            Change(metric, metric.estimate(_once(ours, before)), metric.estimate(_once(theirs, after)), difference, p)
            for (metric, difference), p in zip(raw, adjusted, strict=True)
        ),
        swings=tuple(_swings(pairs, sides)),
        num_prompts=len(shared),
        num_unpaired=len(everything - shared),
        num_seeds=num_seeds,
    )


def _once(paired: list[list[Sample]], seeds: Seeds) -> list[list[Sample]]:
    """Return a single seed once, although it was paired with several seeds."""
    return paired[:1] if len(seeds) == 1 else paired


def _pairs(before: Seeds, after: Seeds) -> Iterator[SamplePair]:
    count = max(len(before), len(after)) if 1 in {len(before), len(after)} else min(len(before), len(after))
    for seed in range(count if before and after else 0):
        first = _by_id(before[seed % len(before)])
        for sample in after[seed % len(after)]:
            if sample.id in first:
                yield seed, first[sample.id], sample


def _by_id(samples: Sequence[Sample]) -> Mapping[str, Sample]:
    return {sample.id: sample for sample in samples}


def _difference(metric: Metric, pairs: Sequence[SamplePair]) -> PairedDifference:
    applying = [
        Pair(first.id, seed, metric.measure(first), metric.measure(second))
        for seed, first, second in pairs
        if metric.applies(first) and metric.applies(second)
    ]
    return paired_difference(applying, scale=metric.scale, is_share=metric.is_share)


def _sides(name: str) -> Metric | None:
    """Return the metric for the sides; None means the outcome."""
    shares = {metric.name: metric for metric in METRICS if metric.is_share}
    if name != "outcome" and name not in shares:
        raise UserError(f"there is no side {name!r}; known are outcome, {', '.join(shares)}")
    return shares.get(name)


def _swings(pairs: Sequence[SamplePair], metric: Metric | None) -> Iterator[Swing]:
    for seed, first, second in pairs:
        if metric is not None and not metric.applies(second):
            continue
        (before, was_right), (after, is_right) = (_side(sample, metric) for sample in (first, second))
        if before != after:
            is_better = None if None in {was_right, is_right} or was_right == is_right else is_right
            yield Swing(second.id, seed, second.kind, second.query, before, after, is_better)


def _side(sample: Sample, metric: Metric | None) -> tuple[str, bool | None]:
    """Return the side of a response in words, and whether it is the right side."""
    if metric is None:
        found = outcome(sample)
        return str(found), found.is_right
    value = metric.measure(sample)
    if value is None:
        return str(QueryOutcome.UNSCORED), None
    is_yes = value == metric.scale[1]
    return ("yes" if is_yes else "no"), is_yes == (metric.direction is Direction.HIGHER)
