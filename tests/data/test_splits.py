"""Splits are decided by content alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.splits import content_key, held_out, is_below


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_two_contents_share_a_key_only_when_they_are_equal(left, right):
    assert (content_key(*left) == content_key(*right)) == (left == right)


@given(st.sets(st.text(), min_size=2, max_size=30), st.floats(0, 1), st.randoms())
def test_what_is_held_out_does_not_depend_on_order_and_leaves_something_on_both_sides(items, share, rng):
    shuffled = list(items)
    rng.shuffle(shuffled)
    held = held_out(shuffled, group="g", share=share)
    assert held == held_out(sorted(items), group="g", share=share)
    assert 0 < len(held) < len(items)


def test_a_quarter_of_eight_is_two_and_differs_by_group():
    items = [f"item {i}" for i in range(8)]
    assert len(held_out(items, group="a", share=0.25)) == 2
    assert held_out(items, group="a", share=0.25) != held_out(items, group="b", share=0.25)


def test_nothing_can_be_held_out_of_one_item():
    with pytest.raises(ValueError, match="give at least two"):
        held_out(["only"], group="a", share=0.25)


def test_the_share_of_keys_below_a_share_is_that_share():
    below = sum(is_below(content_key(str(i)), 0.1) for i in range(5000))
    assert 420 < below < 580
