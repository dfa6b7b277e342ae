"""Rewards: the presets' totals, with every score and component."""

import pytest

from eval.attacks.measure import earned, examples_by_kind
from eval.judges import Item
from eval.presets import PRESETS
from eval.presets.tritrace import TritraceWeights
from protocol import Labels
from stages.arguments.resolved import resolved
from stages.arguments.stage import GRPOArguments, parse_stage
from stages.errors import StageError
from stages.rollouts.reward import build_reward


@pytest.fixture(scope="module")
def examples():
    return examples_by_kind(1)


def judged(reward, examples, **changed):
    told = [{"labels": each.query.labels, "query": each.query.text} | changed for each in examples]
    return reward(
        [Item.of(each.response.render(), each.plan, **known) for each, known in zip(examples, told, strict=True)]
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_adapter_pays_what_the_preset_pays_and_logs_every_part(examples, name):
    found = judged(build_reward(name), examples)
    assert [each.reward for each in found] == [earned(each.response.render(), each)[name] for each in examples]
    for each in found:
        assert {"validity", "tags", "decision", "safety", "helpfulness", "one_voice"} <= set(each.components)
        assert sum(part.startswith(f"{name}/") for part in each.components) >= 3


def test_a_query_without_a_risk_label_is_unscored_and_not_worthless(examples):
    (found,) = judged(build_reward("tritrace"), examples[:1], labels=Labels())
    assert found.reward is None
    assert found.components["tritrace/ceiling"] is None


def test_without_the_question_only_the_echo_is_unscored(examples):
    (found,) = judged(build_reward("tritrace"), examples[:1], query=None)
    assert found.reward == pytest.approx(1.0)
    assert found.components["original"] is None


def recipe(*flags):
    return parse_stage("grpo", ["--model", "m", "--data", "d", "--output", "o", *flags])


def test_weights_are_keys_of_the_recipe(examples):
    arguments, config = recipe("--reward", "safer-toolkit", "--safer_toolkit_depth", "0", "--use_cpu")
    assert isinstance(arguments, GRPOArguments)
    shown = resolved(arguments, config)
    assert shown["safer_toolkit_depth"] == 0.0
    assert not any(name.startswith(("tritrace_", "safegrpo_", "safer_vlm_")) for name in shown)
    totals = [judged(build_reward("safer-toolkit", weights=each), examples[:1])[0].reward for each in (None, arguments)]
    assert totals[1] < totals[0]


def test_a_weight_that_is_misspelt_or_out_of_bounds_is_refused():
    with pytest.raises(StageError, match="did you mean tritrace_tags"):
        recipe("--tritrace_tag", "0.2")
    with pytest.raises(StageError, match="tritrace_unsafe_ceiling: expected a number from 0 to 1, found 2"):
        build_reward("tritrace", weights=TritraceWeights(tritrace_unsafe_ceiling=2.0))


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(StageError, match="tritrace"):
        build_reward("tritrase")
