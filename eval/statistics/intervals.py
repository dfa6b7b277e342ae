"""Estimates with 95 % intervals, for responses to the same prompts under one or several training seeds.

`eval/results/metrics.py` defines the metrics. One method works for shares and means, and for one seed and several:

1. The variance of the mean is clustered two ways, by prompt and by seed, because neither the answers to one
   prompt nor the answers of one training run are independent (Cameron, Gelbach & Miller 2011, "Robust
   inference with multiway clustering"; Miller 2024, arXiv:2411.00640, asks for clustered errors in
   evaluations of language models). For few seeds, Student's t is used with the degrees of freedom of
   Satterthwaite (1946). All variation between seeds is attributed to the seeds, because three seeds cannot
   separate it from noise. With one seed, the interval says nothing about other seeds.
2. That variance becomes an effective sample size, and the interval is Wilson's (1927) at that size, on the
   scale of the metric, as Franco, Little, Louis & Slud (2019, "Comparative study of confidence intervals
   for proportions in complex sample surveys") recommend. It stays within the scale, and has a positive width
   even for 0 of n.

   For a share under one seed this is exactly Wilson's interval. With one seed the interval covers other prompts of the
   same kind for this checkpoint; with several seeds it covers other prompts and other training runs of the same recipe.
   `python -m tests.eval.statistics.interval_coverage` prints how often the interval contains the truth in simulated
   evaluations. It also prints this for the percentile bootstrap over prompts and seeds, which fails with few seeds
   (three have ten distinct resamples) and has no width at 0 of n. This is our own code, because neither scipy nor
   statsmodels has Wilson's interval for a variance that is clustered two ways.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95
_PRIOR_WEIGHT = 4.0
"""Weight, in responses, of the prior assumption that a second seed tells nothing new about a prompt."""
_NEGLIGIBLE_VARIANCE = 1e-12  # rounding errors are about 1e-33 on a scale of 0 to 1


@dataclass(frozen=True, slots=True)
class Observation:
    """The value of a metric for one response."""

    prompt: str
    """Id of the prompt, the same under every seed."""
    seed: int
    """Seed of the training run."""
    value: float | None
    """In the metric's unit; None is unscored."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean in the metric's unit, with its 95 % interval."""

    value: float | None
    """Mean of the scored responses; None if there are none."""
    low: float | None
    high: float | None
    n: int
    """Number of prompts that are scored under at least one seed."""
    num_seeds: int
    """Number of training seeds with at least one scored response."""
    num_unscored: int
    """Responses that could not be judged; they are not part of the mean or of n."""
    least: float | None = None
    """The mean if every unscored response had the lowest value; None if there is no response."""
    most: float | None = None
    """The mean if every unscored response had the highest value."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Spread:
    """The uncertainty of a mean."""

    variance: float
    """Variance of the mean, from prompts and seeds."""
    degrees_of_freedom: float
    """Satterthwaite's degrees of freedom, at least seeds - 1; infinite if the seeds do not differ."""


def estimate(observations: Sequence[Observation], *, scale: tuple[float, float], is_share: bool) -> Estimate:
    """Estimate the mean of a metric.

    Args:
        observations: any number, in any order; some prompts may be missing under some seeds.
        scale: the lowest and the highest possible value.
        is_share: whether each value is one end of the scale. The information from further seeds then counts only as
            far as it was observed, so that 1 of n is not more certain than 0 of n.
    """
    scored = [(each.prompt, each.seed, each.value) for each in observations if each.value is not None]
    num_unscored = len(observations) - len(scored)
    least, most = bounds([value for _, _, value in scored], num_unscored, scale)
    if not scored:
        return Estimate(None, None, None, n=0, num_seeds=0, num_unscored=num_unscored, least=least, most=most)
    bottom, height = scale[0], scale[1] - scale[0]
    values = (np.array([value for _, _, value in scored], dtype=np.float64) - bottom) / height
    prompts, seeds = number([prompt for prompt, _, _ in scored]), number([seed for _, seed, _ in scored])
    low, high = interval(values, prompts, seeds, is_share=is_share)
    return Estimate(
        value=bottom + height * float(values.mean()),
        low=bottom + height * low,
        high=bottom + height * high,
        n=int(prompts.max()) + 1,
        num_seeds=int(seeds.max()) + 1,
        num_unscored=num_unscored,
        least=least,
        most=most,
    )


def interval(
    values: NDArray[np.float64], prompts: NDArray[np.intp], seeds: NDArray[np.intp], *, is_share: bool
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values in [0, 1].

    Args:
        values: shape (N,), at least one.
        prompts: shape (N,), the prompt of each value as 0, 1, ...
        seeds: shape (N,), its seed as 0, 1, ...
        is_share: see `estimate`.
    """
    mean, num_prompts = float(values.mean()), int(prompts.max()) + 1
    spread = two_way_spread(values, prompts, seeds)
    size = _effective_size(values, spread.variance, num_prompts, is_share=is_share)
    return wilson(mean, size, critical_value(spread.degrees_of_freedom))


def bounds(
    scored: Sequence[float], num_unscored: int, scale: tuple[float, float]
) -> tuple[float, float] | tuple[None, None]:
    """Return the mean with every unscored value at the lowest value of the scale, and at the highest.

    >>> bounds([100.0, 0.0], 2, (0.0, 100.0))
    (25.0, 75.0)
    """
    count = len(scored) + num_unscored
    if not count:
        return None, None
    total = math.fsum(scored)
    return (total + num_unscored * scale[0]) / count, (total + num_unscored * scale[1]) / count


def two_way_spread(values: NDArray[np.float64], prompts: NDArray[np.intp], seeds: NDArray[np.intp]) -> Spread:
    """Return the spread of the mean of `values`, clustered by prompt and by seed.

    V = V_prompt + V_seed - V_cell, but at least V_prompt; V_seed has the small-sample factor S/(S-1).

    Args:
        values: shape (N,).
        prompts: shape (N,), the prompt of each value as 0, 1, ...
        seeds: shape (N,), its seed as 0, 1, ...
    """
    residuals = values - values.mean()
    num_seeds = int(seeds.max()) + 1
    by_prompt = _clustered_variance(residuals, prompts)
    if num_seeds == 1:
        return Spread(by_prompt, float("inf"))
    by_seed = _clustered_variance(residuals, seeds) * num_seeds / (num_seeds - 1)
    by_cell = _clustered_variance(residuals, prompts * num_seeds + seeds)
    variance = by_prompt + max(0.0, by_seed - by_cell)
    if by_seed <= _NEGLIGIBLE_VARIANCE:
        return Spread(variance, float("inf"))
    return Spread(variance, max(1.0, (variance / by_seed) ** 2) * (num_seeds - 1))


def wilson(share: float, size: float, critical: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share in [0, 1]; the sample size may be fractional.

    >>> low, high = wilson(0.0, 100, 1.96)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.037)
    """
    shrinkage = critical**2 / size
    centre = (share + shrinkage / 2) / (1 + shrinkage)
    half_width = np.sqrt(shrinkage * (share * (1 - share) + shrinkage / 4)) / (1 + shrinkage)
    # Rounding must not move a share of 0 or 1 outside its interval.
    return max(0.0, min(share, float(centre - half_width))), min(1.0, max(share, float(centre + half_width)))


def critical_value(degrees_of_freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t; with infinite degrees of freedom it is the normal one."""
    return float(stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2))


def _effective_size(values: NDArray[np.float64], variance: float, num_prompts: int, *, is_share: bool) -> float:
    """Return the number of independent draws with the same uncertainty; the number of prompts if nothing varies."""
    if variance <= _NEGLIGIBLE_VARIANCE:
        return num_prompts
    mean = float(values.mean())
    size = mean * (1 - mean) / variance
    if not is_share or size <= num_prompts:
        return size
    # The information from further seeds is estimated too, from the rarer outcome; with few of these it is small.
    num_rarer = len(values) * min(mean, 1 - mean)
    design_effect = (num_rarer * num_prompts / size + _PRIOR_WEIGHT) / (num_rarer + _PRIOR_WEIGHT)
    return num_prompts / design_effect


def _clustered_variance(residuals: NDArray[np.float64], clusters: NDArray[np.intp]) -> float:
    sums = np.bincount(clusters, weights=residuals)
    return float((sums**2).sum() / len(residuals) ** 2)


def number(keys: Sequence[str | int]) -> NDArray[np.intp]:
    """Number the distinct keys 0, 1, ..."""
    return np.unique(np.array(keys), return_inverse=True)[1]
