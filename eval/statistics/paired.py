"""Compares two checkpoints on the same prompts: the mean difference, its interval, and a test of "no difference".

`eval/results/comparison.py` chooses the metrics. Pairing removes the variation between prompts. So it finds differences
that two separate intervals would hide.

* **Interval.** The adjusted interval of Agresti & Min (2005, "Simple improved confidence intervals for comparing
  matched proportions"). It adds two pairs: half a pair with a gain, half a pair with a loss, and one pair without a
  change. So the interval has a width even if nothing changed. For means, the added gain is the root mean square of the
  changes. The variance is clustered by prompt and by seed as in `intervals.py`. With one seed it covers other prompts
  for these two checkpoints; with several seeds it covers other prompts and other training runs.
* **Test.** One seed and a share: McNemar's exact test (1947; binomial over the pairs that differ). One seed and a mean:
  the sign-flip permutation test, by scipy: exact if at most 14 pairs differ, otherwise with 20,000 seeded draws.
  Several seeds: the t statistic of the interval, because responses of different training runs are not exchangeable.
* **Many metrics.** `holm` (1979) limits the probability of any false positive among all metrics to that of one test.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtr

from eval.statistics.intervals import bounds, critical_value, number, two_way_spread

MCNEMAR = "McNemar, exact"
SIGN_FLIP = "sign-flip permutation"
CLUSTERED_T = "t, clustered by prompt and seed"
NUM_FLIPS = 20_000
"""Assignments of signs that are tried; 14 differing pairs have fewer."""
_BATCH = 1_000
"""Assignments in memory at a time."""
_PSEUDO_PAIRS = 2


@dataclass(frozen=True, slots=True)
class Pair:
    """The values of a metric for two responses to the same prompt."""

    prompt: str
    """Id of the prompt."""
    seed: int
    """Index of the pair of training runs."""
    before: float | None
    """In the metric's unit; None is unscored."""
    after: float | None


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of after minus before, in the metric's unit."""

    value: float | None
    """Over the pairs scored on both sides; None if there are none."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    p_value: float | None
    """Two-sided p value of "no difference", for this metric alone."""
    test: str
    """Name of the test; "" if there was no test."""
    n: int
    """Number of prompts with at least one pair scored on both sides."""
    num_seeds: int
    num_up: int
    """Pairs whose value increased."""
    num_down: int
    num_unscored: int
    """Pairs that are unscored on one side or both; they are not part of the difference or of n."""
    least: float | None
    """The difference if every unscored value were the highest before and the lowest after."""
    most: float | None
    """The difference if every unscored value were the lowest before and the highest after."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields."""
        return asdict(self)


def paired_difference(
    pairs: Sequence[Pair], *, scale: tuple[float, float], is_share: bool, seed: int = 0
) -> PairedDifference:
    """Estimate and test the difference between two checkpoints.

    Args:
        pairs: any number, in any order.
        scale: the lowest and the highest value of the metric.
        is_share: whether each value is one end of the scale.
        seed: seed of the sign flips.
    """
    height = scale[1] - scale[0]
    scored = [(each, each.after - each.before) for each in pairs if each.after is not None and each.before is not None]
    num_unscored = len(pairs) - len(scored)
    least, most = _difference_bounds(pairs, scale)
    if not scored:
        return PairedDifference(None, None, None, None, "", 0, 0, 0, 0, num_unscored, least, most)
    differences = np.array([difference for _, difference in scored], dtype=np.float64) / height
    prompts, seeds = number([each.prompt for each, _ in scored]), number([each.seed for each, _ in scored])
    low, high = difference_interval(differences, prompts, seeds)
    p_value, test = _test(differences, prompts, seeds, is_share=is_share, seed=seed)
    return PairedDifference(
        value=height * float(differences.mean()),
        low=height * low,
        high=height * high,
        p_value=p_value,
        test=test,
        n=int(prompts.max()) + 1,
        num_seeds=int(seeds.max()) + 1,
        num_up=int((differences > 0).sum()),
        num_down=int((differences < 0).sum()),
        num_unscored=num_unscored,
        least=least,
        most=most,
    )


def difference_interval(
    differences: NDArray[np.float64], prompts: NDArray[np.intp], seeds: NDArray[np.intp]
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of differences in [-1, 1].

    Args:
        differences: shape (N,), at least one.
        prompts: shape (N,), the prompt of each as 0, 1, ...
        seeds: shape (N,), the seed of each as 0, 1, ...
    """
    mean = float(differences.mean())
    centre, deviation, critical = _adjusted(differences, prompts, seeds)
    low, high = centre - critical * deviation, centre + critical * deviation
    return max(-1.0, min(mean, low)), min(1.0, max(mean, high))


def mcnemar(num_up: int, num_down: int) -> float:
    """Return the exact two-sided p value of McNemar's test; 1 if no pair differs.

    >>> mcnemar(9, 1)  # 2 (1 + 10) / 1024
    0.021484375
    """
    return min(1.0, 2.0 * float(bdtr(min(num_up, num_down), num_up + num_down, 0.5)))


def sign_flip(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """Return the two-sided p value of the sign-flip permutation test on the mean of paired differences.

    Pairs without a difference change no sum, so only the others are flipped. scipy tries every assignment of signs if
    there are at most `NUM_FLIPS` of them. Otherwise it draws, and counts the observed signs as one more draw, which
    never understates p (Phipson & Smyth 2010).
    """
    from scipy.stats import permutation_test  # takes a second to import, and few comparisons need it

    changed = differences[differences != 0]
    if changed.size < 2:  # both signs of one difference are as large
        return 1.0
    rng = np.random.default_rng(seed)
    found = permutation_test(
        (changed,), np.mean, permutation_type="samples", n_resamples=NUM_FLIPS, batch=_BATCH, vectorized=True, rng=rng
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values adjusted for multiple tests, by Holm's step-down method; None stays None.

    This is our own code, because scipy has no such function, and statsmodels would be a dependency for these lines.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[index] = highest
    return adjusted


def _test(
    differences: NDArray[np.float64],
    prompts: NDArray[np.intp],
    seeds: NDArray[np.intp],
    *,
    is_share: bool,
    seed: int,
) -> tuple[float, str]:
    if seeds.max() > 0:
        centre, deviation, _ = _adjusted(differences, prompts, seeds)
        degrees = two_way_spread(differences, prompts, seeds).degrees_of_freedom
        return 2.0 * float(stdtr(degrees, -abs(centre) / deviation)), CLUSTERED_T
    if is_share:
        return mcnemar(int((differences > 0).sum()), int((differences < 0).sum())), MCNEMAR
    return sign_flip(differences, seed=seed), SIGN_FLIP


def _adjusted(
    differences: NDArray[np.float64], prompts: NDArray[np.intp], seeds: NDArray[np.intp]
) -> tuple[float, float, float]:
    """Return the centre, the standard deviation of the mean (both with the added pairs), and the critical value."""
    spread = two_way_spread(differences, prompts, seeds)
    num_prompts, mean = int(prompts.max()) + 1, float(differences.mean())
    size = num_prompts + _PSEUDO_PAIRS
    centre = mean * num_prompts / size
    changed = differences[differences != 0]
    added = float((changed**2).mean()) if changed.size else 1.0
    # Sum of squares of the prompts' means about zero, plus those of the two half pairs; then about the centre.
    squares = spread.variance * num_prompts**2 + num_prompts * mean**2 + added
    variance = (squares - size * centre**2) / size**2
    return centre, float(np.sqrt(variance)), critical_value(spread.degrees_of_freedom)


def _difference_bounds(pairs: Sequence[Pair], scale: tuple[float, float]) -> tuple[float, float] | tuple[None, None]:
    if not pairs:
        return None, None
    before, after = [each.before for each in pairs], [each.after for each in pairs]
    (least_before, most_before), (least_after, most_after) = (
        bounds([value for value in side if value is not None], side.count(None), scale) for side in (before, after)
    )
    if least_before is None or most_before is None or least_after is None or most_after is None:
        return None, None
    return least_after - most_before, most_after - least_before
