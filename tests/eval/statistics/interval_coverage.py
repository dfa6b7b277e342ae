"""Measures how often the 95 % intervals contain the truth, in simulated evaluations with a known truth.

    python -m tests.eval.statistics.interval_coverage

prints a line for each scenario of 2,000 simulated evaluations, with prompts of different difficulty and, in some
scenarios, several training seeds of different skill. A 95 % interval should cover the truth in 93 to 97 % of them. For
comparison, the table also has the cluster bootstrap (resampled prompts and seeds, percentiles).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.statistics.intervals import interval
from eval.statistics.paired import difference_interval

NUM_SIMULATIONS = 2_000
_RUBRIC = np.array([0.0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0])
"""The scores -3 to 3 on a scale of 0 to 1."""
_NUM_RESAMPLES = 200
_NUM_BOOTSTRAPPED = 300
"""Number of simulated evaluations for the bootstrap, which takes two hundred times as long."""

Interval = Callable[[NDArray[np.float64]], tuple[float, float]]
"""Maps values of shape (prompts, seeds) to an interval of their mean."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of simulated evaluation."""

    name: str
    num_prompts: int
    num_seeds: int = 1
    skill: float = 0.0
    """Standard deviation between training seeds, on a scale of 0 to 1."""
    is_share: bool = True
    is_difference: bool = False


SCENARIOS = (
    Scenario("share", 100),
    Scenario("share", 500),
    Scenario("mean on the rubric", 100, is_share=False),
    Scenario("mean on the rubric", 500, is_share=False),
    Scenario("share, seeds alike", 200, num_seeds=3),
    Scenario("share, seeds differ", 200, num_seeds=3, skill=0.03),
    Scenario("share, seeds differ", 200, num_seeds=5, skill=0.03),
    Scenario("paired difference of shares", 100, is_difference=True),
    Scenario("paired difference of shares", 500, is_difference=True),
    Scenario("paired difference of means", 100, is_share=False, is_difference=True),
    Scenario("paired difference of means", 500, is_share=False, is_difference=True),
    Scenario("paired difference, seeds differ", 200, num_seeds=5, skill=0.03, is_difference=True),
)


def coverage(scenario: Scenario, find: Interval | None = None, *, seed: int = 0, num: int = NUM_SIMULATIONS) -> float:
    """Return the share of simulated evaluations whose interval contains the truth.

    Args:
        scenario: the scenario.
        find: the interval to test; by default this package's own.
        seed: seed of the simulation.
        num: number of simulated evaluations.
    """
    rng = np.random.default_rng(seed)
    find = find or own_interval(scenario)
    covered = 0
    for _ in range(num):
        values, truth = _draw(scenario, rng)
        low, high = find(values)
        covered += low <= truth <= high
    return covered / num


def own_interval(scenario: Scenario) -> Interval:
    """Return this package's interval for the scenario."""
    prompts, seeds = np.divmod(np.arange(scenario.num_prompts * scenario.num_seeds), scenario.num_seeds)

    def find(values: NDArray[np.float64]) -> tuple[float, float]:
        if scenario.is_difference:
            return difference_interval(values.ravel(), prompts, seeds)
        return interval(values.ravel(), prompts, seeds, is_share=scenario.is_share)

    return find


def cluster_bootstrap(seed: int = 0) -> Interval:
    """Return the percentile bootstrap that resamples prompts and, independently, seeds."""
    rng = np.random.default_rng(seed)

    def find(values: NDArray[np.float64]) -> tuple[float, float]:
        num_prompts, num_seeds = values.shape
        by_prompt = rng.multinomial(num_prompts, np.full(num_prompts, 1 / num_prompts), _NUM_RESAMPLES) / num_prompts
        by_seed = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), _NUM_RESAMPLES) / num_seeds
        means = ((by_prompt @ values) * by_seed).sum(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)

    return find


def _draw(scenario: Scenario, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Return the values of one evaluation, shape (prompts, seeds), and the true mean.

    The level of each evaluation is random too, so that a scenario does not depend on one particular share.
    """
    shape = scenario.num_prompts, scenario.num_seeds
    level, gain = rng.uniform(0.1, 0.9), rng.uniform(-0.1, 0.1)
    skill = np.clip(rng.normal(0.0, scenario.skill, (1, scenario.num_seeds)), -0.1, 0.1)
    hardness = rng.uniform(-1.0, 1.0, (scenario.num_prompts, 1)) * min(level, 1 - level) * 0.5
    before = _respond(np.broadcast_to(level + hardness, shape) * 1.0, rng, is_share=scenario.is_share)
    if not scenario.is_difference:
        chances = _inside(level, hardness + skill)
        return _respond(chances, rng, is_share=scenario.is_share), level
    # The gain varies between prompts; most responses do not change.
    target = float(np.clip(level + gain, 0.0, 1.0))
    changed = _respond(_inside(target, hardness + skill), rng, is_share=scenario.is_share)
    moved = rng.random(shape) < 0.4
    after = np.where(moved, changed, before)
    return after - before, 0.4 * (target - level)


def _inside(level: float, deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return level plus deviation; the deviations are shrunk to stay within [0, 1] without changing the mean."""
    room = min(level, 1 - level)
    return level + np.clip(deviation, -room, room)


def _respond(chances: NDArray[np.float64], rng: np.random.Generator, *, is_share: bool) -> NDArray[np.float64]:
    """Draw values with the given means: 0 or 1, or scores of the rubric."""
    if is_share:
        return (rng.random(chances.shape) < chances).astype(np.float64)
    return _RUBRIC[rng.binomial(len(_RUBRIC) - 1, chances)]


def print_table() -> None:
    """Print the coverage of every scenario; each line is printed as soon as it is known."""
    heading = f"{'covered % of simulated evaluations':34} {'prompts':>7} {'seeds':>5} {'this':>6} {'bootstrap':>9}"
    sys.stdout.write(heading + "\n")
    for each in SCENARIOS:
        own, bootstrap = coverage(each), coverage(each, cluster_bootstrap(), num=_NUM_BOOTSTRAPPED)
        line = f"{each.name:34} {each.num_prompts:7} {each.num_seeds:5} {100 * own:6.1f} {100 * bootstrap:9.1f}\n"
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    print_table()
