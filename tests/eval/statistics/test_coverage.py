"""A 95 % interval contains the truth in 93 to 97 % of 2,000 simulated evaluations."""

import pytest

from tests.eval.statistics.interval_coverage import SCENARIOS, Scenario, cluster_bootstrap, coverage

ONE_SEED = [each for each in SCENARIOS if each.num_seeds == 1]
SEVERAL_SEEDS = [each for each in SCENARIOS if each.num_seeds > 1]


@pytest.mark.parametrize("scenario", ONE_SEED, ids=lambda each: f"{each.name}, {each.num_prompts}")
def test_intervals_under_one_seed_cover_as_often_as_they_say(scenario):
    assert 0.93 <= coverage(scenario) <= 0.97


@pytest.mark.parametrize("scenario", SEVERAL_SEEDS, ids=lambda each: f"{each.name}, {each.num_seeds} seeds")
def test_intervals_over_few_seeds_rather_cover_too_often(scenario):
    # Three to five seeds cannot separate a difference between seeds from chance; in doubt the interval is wide.
    assert 0.93 <= coverage(scenario) <= 0.995


def test_the_simulation_notices_an_interval_that_is_too_narrow():
    scenario = Scenario("share, three seeds", 100, num_seeds=3, skill=0.05)
    assert coverage(scenario, lambda values: (values.mean() - 0.02, values.mean() + 0.02), num=200) < 0.8
    assert coverage(scenario, cluster_bootstrap(), num=100) < coverage(scenario, num=200)
