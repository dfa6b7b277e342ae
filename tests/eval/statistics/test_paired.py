"""Paired comparison: tests by hand and by enumeration, intervals, bounds for unscored pairs, and Holm's correction."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from eval.statistics.paired import CLUSTERED_T, MCNEMAR, SIGN_FLIP, Pair, holm, mcnemar, paired_difference, sign_flip

PERCENT = (0.0, 100.0)


def pairs(*seeds):
    """Return pairs from a list of (before, after) for each seed."""
    return [
        Pair(f"q-{index}", seed, before, after)
        for seed, values in enumerate(seeds)
        for index, (before, after) in enumerate(values)
    ]


UP, DOWN, SAME = (0.0, 100.0), (100.0, 0.0), (100.0, 100.0)


@pytest.mark.parametrize(("up", "down"), [(0, 0), (1, 0), (9, 1), (5, 5), (30, 12), (200, 160)])
def test_mcnemar_is_the_exact_binomial_test_on_the_pairs_that_differ(up, down):
    expected = binomtest(up, up + down).pvalue if up + down else 1.0
    assert mcnemar(up, down) == pytest.approx(expected)


def test_the_sign_flip_test_by_hand():
    # |±1 ±2 ±3| reaches 6 for two of the eight assignments.
    assert sign_flip(np.array([1.0, 2.0, 3.0, 0.0])) == 2 / 8
    assert sign_flip(np.zeros(5)) == 1.0


@pytest.mark.parametrize("num", [1, 2, 5, 14])
def test_the_sign_flip_test_tries_every_assignment_of_few_signs(num):
    differences = np.random.default_rng(num).normal(0.3, 1.0, num)
    sums = np.array(list(product((-1.0, 1.0), repeat=num))) @ differences
    as_large = np.abs(sums) >= abs(differences.sum()) * (1 - 1e-12)
    assert sign_flip(np.append(differences, np.zeros(9))) == pytest.approx(as_large.mean())


def test_the_sign_flip_test_draws_many_signs_and_is_repeatable():
    differences = np.random.default_rng(1).normal(0.2, 1.0, 60)
    signs = np.random.default_rng(2).choice([-1.0, 1.0], (100_000, 60))
    expected = (np.abs(signs @ differences) >= abs(differences.sum())).mean()
    assert sign_flip(differences) == pytest.approx(expected, abs=0.01)
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip(np.ones(60)) == 2 / 20_001  # no draw is as large, and the observed signs count as one


def test_the_interval_of_a_share_is_agresti_and_mins():
    # 20 pairs, 6 up, 1 down: d = 5/22, variance (8 - 25/22) / 22².
    found = paired_difference(pairs([UP] * 6 + [DOWN] + [SAME] * 13), scale=PERCENT, is_share=True)
    half_width = 1.959964 * np.sqrt((8 - 25 / 22) / 22**2)
    assert (found.low, found.high) == pytest.approx((100 * (5 / 22 - half_width), 100 * (5 / 22 + half_width)))
    assert (found.value, found.num_up, found.num_down, found.n) == (25.0, 6, 1, 20)
    assert (found.p_value, found.test) == (pytest.approx(0.125), MCNEMAR)


def test_the_interval_of_a_mean_adds_half_a_pair_for_a_gain_and_for_a_loss_and_one_without_a_change():
    # Of a scale of 6 the differences are 1, 0, 1/2 and -1/4; changes are sqrt(7/16) large (root mean square).
    found = paired_difference(
        pairs([(-3.0, 3.0), (1.0, 1.0), (-1.0, 2.0), (0.5, -1.0)]), scale=(-3.0, 3.0), is_share=False
    )
    gain = (7 / 16) ** 0.5
    values, weights = np.array([1, 0, 0.5, -0.25, gain, -gain, 0]), np.array([1, 1, 1, 1, 0.5, 0.5, 1])
    centre = (weights * values).sum() / 6
    half_width = 1.959964 * np.sqrt((weights * (values - centre) ** 2).sum()) / 6
    assert (found.low, found.high) == pytest.approx((6 * (centre - half_width), 6 * (centre + half_width)))
    assert (found.value, found.num_up, found.num_down) == (pytest.approx(6 * 1.25 / 4), 2, 1)
    assert (found.least, found.most) == pytest.approx((1.875, 1.875))


def test_the_ends_of_an_interval_stay_on_the_scale():
    all_up = paired_difference(pairs([UP] * 3), scale=PERCENT, is_share=True)
    all_down = paired_difference(pairs([DOWN] * 3), scale=PERCENT, is_share=True)
    assert (all_up.value, all_up.high) == (100.0, 100.0)
    assert (all_down.value, all_down.low) == (-100.0, -100.0)
    assert all_up.low == pytest.approx(-all_down.high)


def test_several_seeds_are_tested_by_the_t_of_the_interval():
    # Two prompts, two seeds, differences 1 0 / 0 0: mean 1/4, as the two-way variance by hand: V = 3/64, V_seed = 1/16,
    # so one degree of freedom. Added pairs: centre (2 x 1/4) / 4 = 1/8; squares 4 x 3/64 + 2/16 + 1 = 21/16;
    # variance (21/16 - 4/64) / 16 = 5/64. Under Cauchy's law p = 1 - (2 / pi) atan(t).
    found = paired_difference(pairs([UP, SAME], [SAME, SAME]), scale=PERCENT, is_share=True)
    t = (1 / 8) / np.sqrt(5 / 64)
    assert (found.test, found.p_value) == (CLUSTERED_T, pytest.approx(1 - 2 / np.pi * np.arctan(t)))
    assert (found.value, found.n, found.num_seeds) == (25.0, 2, 2)


def test_up_to_fourteen_pairs_every_sign_is_tried_and_beyond_signs_are_drawn():
    assert sign_flip(np.ones(14)) == 2 / 2**14
    drawn = sign_flip(np.ones(15)) * 20_001
    assert drawn == pytest.approx(round(drawn), abs=1e-6)
    assert 2 <= round(drawn) <= 10  # both ends, each one and about 20,000 / 2¹⁵ hits
    differences = np.random.default_rng(1).normal(0.2, 1.0, 60)
    assert sign_flip(differences) == sign_flip(differences, seed=0) != sign_flip(differences, seed=1)


def test_no_change_at_all_still_has_a_width_and_no_significance():
    found = paired_difference(pairs([SAME] * 50), scale=PERCENT, is_share=True)
    assert found.value == 0.0
    # One half pair up and one down among 52: the standard deviation of the mean is 1 / 52.
    assert (found.low, found.high) == pytest.approx((-196 / 52, 196 / 52), rel=1e-4)
    assert found.p_value == 1.0


def test_pairing_finds_what_separate_intervals_hide():
    found = paired_difference(pairs([UP] * 12 + [SAME] * 60 + [(0.0, 0.0)] * 60), scale=PERCENT, is_share=True)
    assert found.low > 0
    assert found.p_value == pytest.approx(2 / 2**12)


def test_unscored_pairs_are_left_out_counted_and_bounded():
    found = paired_difference(pairs([UP, SAME, (None, 100.0), (0.0, None)]), scale=PERCENT, is_share=True)
    assert (found.value, found.n, found.num_unscored) == (50.0, 2, 2)
    # Worst: before 0 100 100 0, after 100 100 100 0. Best: before 0 100 0 0, after 100 100 100 100.
    assert (found.least, found.most) == (25.0, 75.0)


def test_seeds_that_disagree_widen_the_interval_and_are_tested_with_few_degrees_of_freedom():
    agreeing = paired_difference(pairs(*[[UP] * 10 + [SAME] * 40] * 3), scale=PERCENT, is_share=True)
    disagreeing = paired_difference(
        pairs([UP] * 30 + [SAME] * 20, [SAME] * 50, [SAME] * 50), scale=PERCENT, is_share=True
    )
    assert agreeing.value == pytest.approx(disagreeing.value)
    assert disagreeing.high - disagreeing.low > 3 * (agreeing.high - agreeing.low)
    assert (agreeing.test, disagreeing.test) == (CLUSTERED_T, CLUSTERED_T)
    assert agreeing.p_value < 0.01
    assert disagreeing.p_value > 0.3


def test_a_mean_is_tested_by_sign_flips():
    found = paired_difference(pairs([(-3.0, 3.0)] * 8 + [(2.0, 2.0)] * 10), scale=(-3.0, 3.0), is_share=False)
    assert (found.test, found.p_value) == (SIGN_FLIP, 2 / 2**8)
    changes = np.random.default_rng(3).normal(0.1, 0.4, 40).clip(-1, 1)
    found = paired_difference(pairs([(0.0, each) for each in changes]), scale=(0.0, 1.0), is_share=False)
    assert found.p_value == sign_flip(changes) < 1.0


def test_nothing_to_pair_is_no_number():
    found = paired_difference([], scale=PERCENT, is_share=True)
    assert (found.value, found.p_value, found.n, found.least) == (None, None, 0, None)
    assert (found.num_seeds, found.num_up, found.num_down, found.num_unscored) == (0, 0, 0, 0)


@given(st.lists(st.none() | st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    known = sorted((p, q) for p, q in zip(p_values, adjusted, strict=True) if p is not None)
    assert all(p <= q <= 1 for p, q in known)
    assert [q for _, q in known] == sorted(q for _, q in known)
