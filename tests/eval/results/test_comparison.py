"""Comparison of two checkpoints: pairs by id, corrected metrics, and prompts that changed sides."""

from dataclasses import replace

import pytest

from data.files.json_lines import RowsError
from eval.evaluation import write_evaluation
from eval.results.comparison import compare
from eval.results.metrics import METRICS
from eval.results.runs import evaluations, read_run
from eval.results.samples import Sample
from protocol.errors import UserError
from protocol.labels import Labels, Risk
from toolkit.planner import plan_query


def sample(identity, refusal, risk=Risk.UNSAFE, **scores):
    return Sample(identity, "plain", "words", (), "{}", Labels(combined_risk=risk), "", {"refusal": refusal, **scores})


def attacked(num_refused, num=40):
    return [sample(f"q-{index}", float(index < num_refused)) for index in range(num)]


def change(found, name):
    return next(each for each in found.changes if each.metric.name == name)


def test_a_clear_gain_is_better_and_its_swings_are_named():
    found = compare([attacked(5)], [attacked(30)], names=("old", "new"))
    success = change(found, "attack_success")
    assert (success.before.value, success.after.value, success.difference.value) == (87.5, 25.0, -62.5)
    assert success.is_better is True
    assert success.difference.p_value == pytest.approx(2 / 2**25)
    assert success.p_adjusted >= success.difference.p_value
    assert [each.id for each in found.swings] == [f"q-{index}" for index in range(5, 30)]
    assert {(each.before, each.after, each.is_better) for each in found.swings} == {
        ("attack succeeded", "rightly declined", True)
    }
    assert not found.has_worsened


def test_the_other_way_round_is_worse():
    found = compare([attacked(30)], [attacked(5)])
    assert change(found, "attack_success").is_better is False
    assert found.has_worsened


def test_a_small_change_is_called_neither():
    assert change(compare([attacked(20)], [attacked(22)]), "attack_success").is_better is None


def test_prompts_of_one_side_only_are_left_out_and_counted():
    found = compare([attacked(5, num=20)], [attacked(5, num=30)])
    assert (found.num_prompts, found.num_unpaired) == (20, 10)
    with pytest.raises(UserError, match="share no prompt"):
        compare([attacked(1)], [[sample("other", 0.0)]])


def test_a_single_base_stands_against_each_seed_and_is_estimated_once():
    found = compare([attacked(5)], [attacked(20), attacked(22), attacked(24)])
    success = change(found, "attack_success")
    assert (found.num_seeds, success.before.num_seeds, success.after.num_seeds) == (3, 1, 3)
    assert success.difference.value == pytest.approx(100 * (5 - 22) / 40)


def test_unscored_on_a_side_is_neither_better_nor_worse():
    found = compare([[sample("a", 1.0), sample("b", None)]], [[sample("a", None), sample("b", 0.0)]])
    assert [each.is_better for each in found.swings] == [None, None]
    assert change(found, "attack_success").difference.num_unscored == 2


def test_sides_can_be_those_of_a_metric():
    before, after = [[sample("a", 1.0, validity=1.0)]], [[sample("a", 1.0, validity=0.0)]]
    (swing,) = compare(before, after, side="validity").swings
    assert (swing.before, swing.after, swing.is_better) == ("yes", "no", False)
    with pytest.raises(UserError, match="there is no side 'kindness'"):
        compare(before, after, side="kindness")


def test_the_json_has_every_metric():
    record = compare([attacked(5)], [attacked(6)]).to_json()
    assert [each["metric"] for each in record["metrics"]] == [metric.name for metric in METRICS]
    assert record["changed"][0]["id"] == "q-5"


def test_evaluations_are_found_from_every_level_in_the_order_of_the_curriculum(tmp_path):
    for seed in ("seed-2", "seed-10"):
        for stage in ("grpo", "sft"):
            folder = tmp_path / seed / stage / "eval"
            folder.mkdir(parents=True)
            write_evaluation(folder, [replace(sample("q", 1.0), plan=plan_query("words", 1).to_json())], {})
    found = evaluations(tmp_path)
    assert {stage: [path.parts[-4] for path in paths] for stage, paths in found.items()} == {
        "sft": ["seed-2", "seed-10"],
        "grpo": ["seed-2", "seed-10"],
    }
    for path in ("seed-2/sft", "seed-2/sft/eval", "seed-2/sft/eval/samples.jsonl"):
        assert list(evaluations(tmp_path / path)) == ["sft"]
    assert list(read_run(f"{tmp_path}:grpo")) == ["grpo"]
    with pytest.raises(RowsError, match="there is no stage 'dpo'; evaluated are sft, grpo"):
        read_run(f"{tmp_path}:dpo")
    with pytest.raises(RowsError, match="no evaluation found"):
        read_run(str(tmp_path / "nothing"))
