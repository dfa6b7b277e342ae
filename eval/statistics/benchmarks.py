"""Adds the unweighted average of several benchmarks, as the published evaluations report it.

Every benchmark counts the same, whatever its number of prompts. Benchmarks are independent, so the variances of their
estimates add up. The two sides of the interval are computed separately (MOVER: Zou & Donner 2008, "Construction of
confidence limits about effect measures"), because the input intervals are not symmetric.
"""

import math
from collections.abc import Mapping, Sequence

from eval.statistics.intervals import Estimate

AVERAGE = "average"


def with_average(benchmarks: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Mapping[str, Estimate]]:
    """Return the estimates by benchmark and metric, and the average of each metric under `AVERAGE`."""
    names = next(iter(benchmarks.values()))
    average = {name: unweighted([found[name] for found in benchmarks.values()]) for name in names}
    return {**benchmarks, AVERAGE: average}


def unweighted(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of the estimates of one metric; benchmarks without a value are left out.

    >>> one = Estimate(value=90.0, low=86.0, high=93.0, n=200, num_seeds=1, num_unscored=0, least=90.0, most=90.0)
    >>> two = Estimate(value=70.0, low=67.0, high=74.0, n=900, num_seeds=1, num_unscored=0, least=70.0, most=70.0)
    >>> found = unweighted([one, two])
    >>> found.value, found.low, found.high, found.n  # (4² + 3²)½ / 2 below, (3² + 4²)½ / 2 above
    (80.0, 77.5, 82.5, 1100)
    """
    scored = [
        (each.value, each.low, each.high)
        for each in estimates
        if each.value is not None and each.low is not None and each.high is not None
    ]
    num_unscored = sum(each.num_unscored for each in estimates)
    if not scored:
        return Estimate(None, None, None, 0, 0, num_unscored)
    count = len(scored)
    value = sum(mean for mean, _, _ in scored) / count
    below = math.hypot(*(mean - low for mean, low, _ in scored)) / count
    above = math.hypot(*(high - mean for mean, _, high in scored)) / count
    extremes = [(each.least, each.most) for each in estimates if each.least is not None and each.most is not None]
    return Estimate(
        value,
        value - below,
        value + above,
        n=sum(each.n for each in estimates),
        num_seeds=max(each.num_seeds for each in estimates),
        num_unscored=num_unscored,
        least=sum(least for least, _ in extremes) / len(extremes) if extremes else None,
        most=sum(most for _, most in extremes) / len(extremes) if extremes else None,
    )
