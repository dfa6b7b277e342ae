"""Curation keeps prompts of medium quality with varying scores, and states the reason for all others."""

import pytest

from data.selection.curation import Box, Selection, curate

SCORES = {
    "torn": [0.0, 1.0, 0.0, 1.0],
    "wavering": [0.4, 0.7, 0.4, 0.7],
    "steady": [0.5, 0.5, 0.5, 0.5],
    "solved": [1.0, 1.0, 1.0, 0.9],
    "hopeless": [0.0, 0.0, 0.1, 0.0],
    "hardly judged": [None, 0.5, None],
    "never sampled": [],
}


def test_every_prompt_has_its_reason():
    found = curate(SCORES, Box())
    assert list(found) == list(SCORES)
    assert {name: each.outcome.name for name, each in found.items()} == {
        "torn": "KEPT",
        "wavering": "KEPT",
        "steady": "STEADY",
        "solved": "SOLVED",
        "hopeless": "HOPELESS",
        "hardly judged": "UNSCORED",
        "never sampled": "UNSCORED",
    }
    assert (found["torn"].quality, found["torn"].instability) == (0.5, 0.5)
    assert (found["never sampled"].quality, found["never sampled"].instability) == (None, None)


def test_unscored_responses_are_no_zeros():
    found = curate({"a": [None, 0.8, 0.4, None]}, Box())["a"]
    assert found.num_scored == 2
    assert found.quality == pytest.approx(0.6)
    assert found.instability == pytest.approx(0.2)


def test_a_limit_keeps_the_most_unstable():
    found = curate(SCORES, Box(max_kept=1))
    assert found["torn"].outcome is Selection.KEPT
    assert found["wavering"].outcome is Selection.BEYOND


@pytest.mark.parametrize("bounds", [{"low": 0.9, "high": 0.1}, {"high": 1.2}, {"low": -0.1}, {"min_spread": 0.7}])
def test_a_box_that_holds_nothing_is_refused(bounds):
    with pytest.raises(ValueError, match="expected"):
        Box(**bounds)
