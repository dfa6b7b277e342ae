"""Intervals of estimates: Wilson's for one seed, wider if seeds differ, never empty, and None never counts as 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from eval.statistics.intervals import Observation, bounds, critical_value, estimate, two_way_spread, wilson

PERCENT = (0.0, 100.0)


def observed(*seeds):
    """Return observations from a list of values for each seed, with prompts in order."""
    return [
        Observation(f"prompt-{index}", seed, value)
        for seed, values in enumerate(seeds)
        for index, value in enumerate(values)
    ]


def shares(*seeds):
    return estimate(observed(*seeds), scale=PERCENT, is_share=True)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 20), (7, 30), (99, 100), (100, 100), (1, 1)])
def test_a_share_under_one_seed_has_the_interval_of_scipy_wilson(successes, n):
    found = shares([100.0] * successes + [0.0] * (n - successes))
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((100 * expected.low, 100 * expected.high))
    assert (found.value, found.n, found.num_seeds) == (pytest.approx(100 * successes / n), n, 1)


def test_wilson_by_hand_for_none_of_a_hundred():
    # high = z² / (n + z²) = 3.8415 / 103.8415
    low, high = wilson(0.0, 100, critical_value(float("inf")))
    assert (low, high) == (0.0, pytest.approx(0.036994, abs=1e-6))


def test_the_critical_values_are_those_of_a_table():
    assert critical_value(float("inf")) == pytest.approx(1.959964)
    assert critical_value(2.0) == pytest.approx(4.302653)


def test_answers_that_differ_between_seeds_count_for_more_prompts_and_are_held_back():
    # Five prompts, two seeds: 1 1 / 1 0 / 0 1 / 0 0 / 0 0; mean 0.4, the same under both seeds, so V_seed = 0.
    # V_prompt = (1.2² + 2 x 0.2² + 2 x 0.8²) / 100 = 0.028, so 0.24 / 0.028 = 8.5714 draws for five prompts.
    # The rarer outcome was seen four times: the design effect (4 x 5 / 8.5714 + 4) / (4 + 4) = 19 / 24.
    found = estimate(
        observed([100.0, 100.0, 0.0, 0.0, 0.0], [100.0, 0.0, 100.0, 0.0, 0.0]), scale=PERCENT, is_share=True
    )
    low, high = wilson(0.4, 5 * 24 / 19, 1.959964)
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high))
    mean = estimate(observed([1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0]), scale=(0.0, 1.0), is_share=False)
    assert (mean.low, mean.high) == pytest.approx(wilson(0.4, 0.24 / 0.028, 1.959964))


def test_a_share_and_its_complement_have_mirrored_intervals_under_several_seeds():
    rare = [[100.0, 100.0, 0.0, 0.0, 0.0], [100.0, 0.0, 100.0, 0.0, 0.0]]
    found, mirrored = shares(*rare), shares(*[[100.0 - value for value in seed] for seed in rare])
    assert (mirrored.low, mirrored.high) == pytest.approx((100 - found.high, 100 - found.low))


def test_a_mean_is_estimated_on_its_own_scale():
    found = estimate(observed([-1.0, 2.0, None]), scale=(-3.0, 3.0), is_share=False)
    # 1/3 and 5/6 of the scale: mean 7/12, each 1/4 from it, variance 2 x (1/4)² / 4 = 1/32.
    low, high = wilson(7 / 12, (7 / 12 * 5 / 12) * 32, 1.959964)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 6 * low - 3, 6 * high - 3))
    assert (found.least, found.most) == pytest.approx((-2 / 3, 4 / 3))


def test_wilson_stays_on_the_scale_and_holds_its_share():
    # By hand, z² / n = 4 / 2 = 2: centre (0.25 + 1) / 3, half width sqrt(2 (0.1875 + 0.5)) / 3.
    assert wilson(0.25, 2.0, 2.0) == pytest.approx((1.25 / 3 - 1.375**0.5 / 3, 1.25 / 3 + 1.375**0.5 / 3))
    assert (wilson(0.0, 3.0, 2.0)[0], wilson(1.0, 3.0, 2.0)[1]) == (0.0, 1.0)


def test_the_bounds_of_nothing_are_none():
    assert bounds([], 0, PERCENT) == (None, None)


def test_unscored_is_counted_apart_and_is_not_zero():
    found = shares([100.0, None, 100.0, None])
    assert (found.value, found.n, found.num_unscored) == (100.0, 2, 2)
    assert found.low == pytest.approx(100 * binomtest(2, 2).proportion_ci(method="wilson").low)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_scored_has_no_value_and_raises_nothing(values):
    found = shares(values)
    assert (found.value, found.low, found.high, found.n, found.num_unscored) == (None, None, None, 0, len(values))


def test_the_same_responses_under_three_seeds_are_no_surer_than_under_one():
    once = [100.0] * 40 + [0.0] * 10
    one, three = shares(once), shares(once, once, once)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))
    assert (three.n, three.num_seeds) == (50, 3)


def test_none_of_n_is_no_wider_than_one_of_n_under_several_seeds():
    none, one = shares([0.0] * 100, [0.0] * 100), shares([0.0] * 100, [100.0] + [0.0] * 99)
    assert none.high == pytest.approx(100 * binomtest(0, 100).proportion_ci(method="wilson").high)
    assert one.high > none.high


def test_seeds_that_disagree_widen_the_interval():
    agreeing = shares(*[[100.0] * 50 + [0.0] * 50] * 3)
    disagreeing = shares([100.0] * 80 + [0.0] * 20, [100.0] * 50 + [0.0] * 50, [100.0] * 20 + [0.0] * 80)
    assert agreeing.value == disagreeing.value == 50.0
    assert disagreeing.high - disagreeing.low > 2 * (agreeing.high - agreeing.low)


def test_the_bounds_hold_whatever_the_unscored_would_have_been():
    found = shares([100.0, 0.0, None, None])
    assert (found.least, found.most) == (25.0, 75.0)
    nothing = shares([None, None])
    assert (nothing.value, nothing.least, nothing.most) == (None, 0.0, 100.0)


def test_the_two_way_variance_by_hand():
    # Two prompts, two seeds: 1 1 / 1 0; mean 0.75, residuals .25 .25 / .25 -.75.
    # V_prompt = (.5² + .5²) / 16 = .03125; V_seed = 2 (.5² + .5²) / 16 = .0625; V_cell = (3 x .0625 + .5625) / 16
    # = .046875; V = .03125 + .0625 - .046875 = .046875, less than V_seed: df = 2 - 1.
    values, prompts, seeds = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    spread = two_way_spread(values, prompts, seeds)
    assert (spread.variance, spread.degrees_of_freedom) == (pytest.approx(0.046875), 1.0)


def test_degrees_of_freedom_by_hand_where_prompts_vary_more_than_seeds():
    # Two prompts, three seeds: 1 1 1 / 0 0 1; mean 2/3, residuals 1/3 1/3 1/3 / -2/3 -2/3 1/3.
    # V_prompt = (1 + 1) / 36 = 1/18; V_seed = 3/2 (1/9 + 1/9 + 4/9) / 36 = 1/36; V_cell = (12/9) / 36 is more than
    # V_seed, so V = 1/18, twice V_seed: df = 2² (3 - 1).
    values, prompts, seeds = np.array([1.0, 1, 1, 0, 0, 1]), np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2])
    spread = two_way_spread(values, prompts, seeds)
    assert (spread.variance, spread.degrees_of_freedom) == (pytest.approx(1 / 18), pytest.approx(8.0))


def test_a_mean_that_never_varies_still_has_an_interval_within_its_scale():
    found = estimate(observed([3.0] * 30), scale=(-3.0, 3.0), is_share=False)
    assert found.value == found.high == 3.0
    assert -3.0 < found.low < 3.0


def test_a_mean_has_nearly_the_normal_interval_where_it_is_far_from_the_ends():
    values = np.random.default_rng(0).normal(0.6, 0.1, 400).clip(0, 1)
    found = estimate(observed(values.tolist()), scale=(0.0, 1.0), is_share=False)
    half_width = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half_width, values.mean() + half_width), abs=1e-3)


def test_a_prompt_missing_under_one_seed_is_allowed():
    found = shares([100.0, 0.0, 100.0], [100.0, None, 0.0])
    assert (found.value, found.n, found.num_seeds, found.num_unscored) == (pytest.approx(60.0), 3, 2, 1)


@given(
    st.lists(
        st.lists(st.none() | st.floats(-3, 3), min_size=4, max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_an_interval_holds_its_value_and_stays_on_the_scale(seeds, is_share):
    found = estimate(observed(*seeds), scale=(-3.0, 3.0), is_share=is_share)
    if found.value is None:
        assert found.n == 0
    else:
        assert -3.0 - 1e-9 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 3.0 + 1e-9
        assert found.high - found.low > 1e-9
