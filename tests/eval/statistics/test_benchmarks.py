"""The average of benchmarks: every one counts alike, each side of the interval adds up for itself."""

import doctest
from dataclasses import replace
from importlib import import_module

import pytest

from eval.statistics.benchmarks import AVERAGE, unweighted, with_average
from eval.statistics.intervals import Estimate

FIRST = Estimate(10.0, 3.0, 25.0, n=30, num_seeds=3, num_unscored=2, least=8.5, most=12.0)  # 7 below, 15 above
SECOND = Estimate(60.5, 36.5, 68.5, n=5, num_seeds=1, num_unscored=1, least=61.0, most=62.0)  # 24 below, 8 above
UNSCORED = Estimate(None, None, None, n=0, num_seeds=0, num_unscored=4, least=0.0, most=100.0)


def test_the_average_by_hand():
    found = unweighted([FIRST, SECOND])
    # 7² + 24² = 25², 15² + 8² = 17².
    assert (found.value, found.low, found.high) == (35.25, 35.25 - 25 / 2, 35.25 + 17 / 2)
    assert (found.n, found.num_seeds, found.num_unscored) == (35, 3, 3)
    assert (found.least, found.most) == (34.75, 37.0)
    assert unweighted([FIRST, replace(SECOND, most=62.5)]).most == 37.25


def test_a_benchmark_without_a_score_is_left_out_of_the_mean_and_not_of_its_bounds():
    found = unweighted([FIRST, UNSCORED, SECOND])
    assert (found.value, found.low, found.high) == (35.25, 22.75, 43.75)
    assert (found.n, found.num_unscored) == (35, 7)
    assert (found.least, found.most) == pytest.approx((69.5 / 3, 174.0 / 3))


def test_nothing_scored_is_no_number():
    assert unweighted([UNSCORED, UNSCORED]) == Estimate(None, None, None, n=0, num_seeds=0, num_unscored=8)


def test_an_average_without_bounds_has_none():
    unbounded = Estimate(10.0, 3.0, 25.0, n=30, num_seeds=1, num_unscored=0)
    assert (unweighted([unbounded]).least, unweighted([unbounded]).most) == (None, None)
    assert unweighted([unbounded, SECOND]).least == 61.0


def test_the_average_stands_behind_the_benchmarks_for_every_metric():
    found = with_average({"one": {"a": FIRST, "b": SECOND}, "two": {"a": SECOND, "b": SECOND}})
    assert list(found) == ["one", "two", AVERAGE]
    assert list(found[AVERAGE]) == ["a", "b"]
    assert (found[AVERAGE]["a"].value, found[AVERAGE]["b"].value) == (35.25, 60.5)


@pytest.mark.parametrize(("name", "num_examples"), [("benchmarks", 4), ("intervals", 3), ("paired", 2)])
def test_the_examples_in_docstrings_hold(name, num_examples):
    assert doctest.testmod(import_module(f"eval.statistics.{name}")) == (0, num_examples)
