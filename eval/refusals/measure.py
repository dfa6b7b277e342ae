"""Precision, recall and F1 of a detector of refusals, with 95 % intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from eval.refusals.responses import LabelledResponse
from eval.statistics.intervals import critical_value, wilson
from protocol.stance import Extent

NUM_RESAMPLES = 4000
Detector = Callable[[str], bool]
"""Whether an answer is a refusal."""


class Partial(StrEnum):
    """What a response labelled partial counts as: the question has two answers, and benchmarks differ."""

    COMPLIANCE = "compliance"
    """It hands over something (WildGuard)."""
    REFUSAL = "refusal"
    """It withholds something."""
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % interval; all None where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Return the share and its interval."""
        return "-" if self.value is None else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a detector agrees with labels."""

    n: int
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> Interval:
        """Share of what was found that is a refusal; Wilson's interval."""
        return share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> Interval:
        """Share of the refusals that was found; Wilson's interval."""
        return share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> Interval:
        """Harmonic mean of both; percentile bootstrap over responses, seeded."""
        counts = np.array([self.true_positives, self.false_positives, self.false_negatives])
        if not counts.sum():
            return Interval(None, None, None)
        # Drawing responses with replacement is drawing their four outcomes from a multinomial distribution.
        rest = self.n - counts.sum()
        drawn = np.random.default_rng(0).multinomial(self.n, [*(counts / self.n), rest / self.n], size=NUM_RESAMPLES)
        right, wrong = 2 * drawn[:, 0], drawn[:, 1] + drawn[:, 2]
        low, high = np.quantile(right / np.maximum(1, right + wrong), [0.025, 0.975])
        return Interval(float(2 * counts[0] / (counts.sum() + counts[0])), float(low), float(high))


def measure(responses: Sequence[LabelledResponse], detector: Detector, partial: Partial) -> Agreement:
    """Count how a detector agrees with the labels.

    Args:
        responses: labelled responses.
        detector: the detector; it sees the text alone.
        partial: what responses labelled partial count as.
    """
    outcomes = [
        (_is_refusal(each.label, partial), detector(each.text))
        for each in responses
        if each.label is not Extent.PARTIAL or partial is not Partial.LEFT_OUT
    ]
    return Agreement(
        n=len(outcomes),
        true_positives=outcomes.count((True, True)),
        false_positives=outcomes.count((False, True)),
        false_negatives=outcomes.count((True, False)),
    )


def _is_refusal(label: Extent, partial: Partial) -> bool:
    return label is Extent.REFUSAL or (label is Extent.PARTIAL and partial is Partial.REFUSAL)


def share(count: int, size: int) -> Interval:
    """Return a share with Wilson's interval."""
    if not size:
        return Interval(None, None, None)
    return Interval(count / size, *wilson(count / size, size, critical_value(float("inf"))))
