"""The table: a row for each metric, a column for each stage, and no lost numbers."""

import io

import pytest
from rich.console import Console

from eval.results.metrics import METRICS, estimates, metric_by_name
from eval.results.table import format_estimate, format_number, terminal_table, to_markdown
from eval.statistics.intervals import Estimate

EMPTY = estimates([])
ESTIMATE = Estimate(value=97.46, low=94.13, high=98.96, n=200, num_seeds=3, num_unscored=0)
STAGES = {"base": EMPTY, "sft": {**EMPTY, "validity": ESTIMATE}}


def rendered(width):
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal_table(STAGES, width=width))
    return console.file.getvalue()


def test_markdown_has_a_row_a_metric_and_a_column_a_stage():
    lines = to_markdown(STAGES).splitlines()
    assert lines[0] == "| metric | base | SFT | n |"
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert "| Trace validity % ↑ | – | 97.5 [94.1, 99.0] | 200 × 3 |" in lines
    assert sum(line.startswith("| ") for line in lines) == len(METRICS) + 2


def test_a_wide_terminal_shows_a_metric_on_one_line():
    line = next(line for line in rendered(130).splitlines() if "Trace validity" in line)
    assert line.split() == ["Trace", "validity", "%", "↑", "–", "97.5", "[94.1,", "99.0]", "200", "×", "3"]


def test_a_narrow_terminal_loses_no_number():
    text = rendered(60)
    assert all(part in text for part in ("97.5", "[94.1, 99.0]", "200"))
    assert max(map(len, text.splitlines())) <= 60


@pytest.mark.parametrize(("number", "text"), [(-0.04, "0.0"), (-2.96, "−3.0"), (100.0, "100.0"), (0.05, "0.1")])
def test_numbers_have_a_true_minus_and_no_negative_zero(number, text):
    assert format_number(number, 1) == text


def test_points_are_told_to_two_digits_with_what_is_unscored():
    found = Estimate(value=-1.234, low=-1.5, high=-0.98, n=5, num_seeds=1, num_unscored=2)
    assert format_estimate(found, metric_by_name["safety_mean"]) == "−1.23 [−1.50, −0.98] (2 unscored)"
