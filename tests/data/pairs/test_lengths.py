"""How well length separates pairs: numbers derived by hand, and extreme cases."""

import pytest

from data.pairs.lengths import length_gap


def test_the_numbers_are_those_derived_by_hand():
    gap = length_gap([(10, 6), (10, 8), (10, 14), (10, 10)])
    assert (gap.n, gap.mean, gap.median) == (4, 0.5, 1.0)
    # Standard deviation of (4, 2, -4, 0) is sqrt(35 / 3); half the interval is 1.96 times that over 2.
    assert gap.high - gap.mean == pytest.approx(1.96 * (35 / 3) ** 0.5 / 2)
    assert gap.longer_share == (1 + 1 + 0 + 0.5) / 4
    # Against each rejected length the four chosen ones win 4, 4, 0 and tie 4 of 4 times.
    assert gap.auc == (4 + 4 + 0 + 2) / 16


def test_a_signal_is_one_and_a_single_pair_is_uncertain():
    assert length_gap([(9, 1), (8, 2)]).auc == length_gap([(9, 1), (8, 2)]).longer_share == 1.0
    assert length_gap([(3, 1)]).high == float("inf")
    with pytest.raises(ValueError, match="no pair"):
        length_gap([])
