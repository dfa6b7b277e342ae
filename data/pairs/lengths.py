"""Whether length separates chosen from rejected responses: a policy trained on such pairs learns length, not safety.

Lengths are in characters, which need no tokenizer. Each pair is one observation; intervals are normal at 95 %.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev


@dataclass(frozen=True, slots=True)
class LengthGap:
    """How chosen and rejected differ in length over some pairs."""

    n: int
    """Pairs."""
    mean: float
    """Of the characters of chosen minus those of rejected."""
    low: float
    """Lower end of the mean's 95 % interval."""
    high: float
    median: float
    longer_share: float
    """Part of the pairs whose chosen response is the longer one, 0..1, ties counted half: how often "take the longer"
    guesses right about a pair."""
    auc: float
    """Area under the curve of length as a classifier of chosen (higher) against rejected over all responses; 0.5 is
    chance."""


def length_gap(lengths: Sequence[tuple[int, int]]) -> LengthGap:
    """Return the gap over pairs of lengths (chosen, rejected).

    >>> gap = length_gap([(10, 8), (10, 12)])
    >>> gap.mean, gap.longer_share, gap.auc
    (0.0, 0.5, 0.5)

    Raises:
        ValueError: there is no pair.
    """
    if not lengths:
        raise ValueError("there is no pair to compare")
    gaps = [chosen - rejected for chosen, rejected in lengths]
    mean = fmean(gaps)
    margin = 1.96 * stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
    longer = fmean(1.0 if gap > 0 else 0.5 if gap == 0 else 0.0 for gap in gaps)
    return LengthGap(len(gaps), mean, mean - margin, mean + margin, median(gaps), longer, _auc(lengths))


def _auc(lengths: Sequence[tuple[int, int]]) -> float:
    """Return the share of (chosen, rejected) combinations, of all pairs, in which the chosen is longer."""
    rejected = sorted(length for _, length in lengths)
    below = sum(bisect_left(rejected, chosen) + bisect_right(rejected, chosen) for chosen, _ in lengths)
    return below / (2 * len(lengths) * len(rejected))
