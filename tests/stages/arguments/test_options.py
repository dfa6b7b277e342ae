"""The marks of an option: bounds are checked, and some keys are not part of a stage's identity."""

import pytest

from stages.arguments.judge import JudgeArguments
from stages.arguments.options import Bound, Cosmetic, Neutral, marked, out_of_bounds, without_effect
from stages.arguments.rollouts import RolloutArguments
from stages.arguments.stage import GRPOArguments

COSMETIC = {
    *("allow_broken", "allow_pickle", "card_gib", "data", "extend", "max_tokens", "model", "output", "parent"),
    *("judge_cache", "judge_concurrency", "judge_max_tokens", "judge_max_unscored", "judge_timeout", "judge_url"),
    *("judge_window", "preflight", "revision", "rollouts_file_mib"),
}
NEUTRAL = {
    *("constrained", "end_token", "fold_system", "merge_for_sampling", "overlong_window", "picture_ground", "reflect"),
    *("share_prompts", "special_tokens", "zero_spread"),
}


def test_a_key_makes_another_stage_unless_it_says_otherwise():
    """The list must have every new key; otherwise finished stages could wrongly be trained again, or be skipped."""
    assert set(marked(GRPOArguments, Cosmetic)) == COSMETIC
    assert set(marked(GRPOArguments, Neutral)) == NEUTRAL


@pytest.mark.parametrize(
    ("recipe", "idle"),
    [
        ({}, {"resample_rounds", "reflect_below", "reflect_share"}),
        ({"zero_spread": "skip"}, {"resample_rounds", "reflect_below", "reflect_share"}),
        ({"zero_spread": "resample"}, {"reflect_below", "reflect_share"}),
        ({"reflect": "informed"}, {"resample_rounds"}),
    ],
)
def test_what_belongs_to_a_choice_changes_nothing_without_it(recipe, idle):
    belonging = {"resample_rounds", "reflect_below", "reflect_share"}
    assert without_effect(RolloutArguments, recipe) & belonging == idle


def test_a_key_at_its_default_changes_nothing_where_it_says_so():
    assert "zero_spread" in without_effect(RolloutArguments, {})
    assert "zero_spread" not in without_effect(RolloutArguments, {"zero_spread": "skip"})
    assert "max_unscored" not in without_effect(RolloutArguments, {})


@pytest.mark.parametrize(("value", "told"), [(0, "found 0"), (-1, "found -1")])
def test_a_number_out_of_its_bounds_is_told_with_what_was_expected(value, told):
    assert list(out_of_bounds(JudgeArguments(judge_window=value))) == [f"judge_window: expected 1 or more, {told}"]


def test_nothing_is_no_number_and_only_named_fields_are_looked_at():
    wrong = JudgeArguments(judge_window=0, judge_timeout=0.0)
    assert list(out_of_bounds(wrong, ["judge_timeout"])) == ["judge_timeout: expected more than 0 seconds, found 0"]
    assert list(out_of_bounds(JudgeArguments())) == []


def test_every_bound_holds_at_the_defaults():
    for name, bound in marked(GRPOArguments, Bound).items():
        default = GRPOArguments.__dataclass_fields__[name].default
        assert default is None or bound.holds(default), name
