"""The order of a curriculum, and the skipped steps of a second run, on a tiny model with random weights."""

import json
import shutil
from importlib.resources import files

import pytest
import yaml

from stages import curriculum, grpo
from stages.curriculum import run_curriculum
from stages.errors import StageError
from tests.stages.conftest import longer_reward

SHORT = {"max_steps": 2, "save_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 4}
GROUPS = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 8}


@pytest.fixture
def recipe(tmp_path, tiny_model_path, rows_folder, monkeypatch):
    monkeypatch.setattr(grpo, "build_reward", lambda *_, **__: longer_reward)
    shutil.copy(rows_folder / "grpo.jsonl", rows_folder / "validation.jsonl")
    for stage in ("sft", "dpo", "grpo"):
        values = SHORT | (GROUPS if stage == "grpo" else {})
        (tmp_path / f"{stage}.yaml").write_text(yaml.safe_dump(values))
    names = {stage: f"{stage}.yaml" for stage in ("sft", "dpo", "grpo")}
    paths = {"model": str(tiny_model_path), "data": str(rows_folder), "output": str(tmp_path / "run")}
    evaluation = {"eval_max_new_tokens": 4, "judge_max_unscored": 1.0}  # the rows have no labels
    (tmp_path / "curriculum.yaml").write_text(yaml.safe_dump(paths | names | evaluation))
    return tmp_path / "curriculum.yaml"


def test_a_curriculum_trains_evaluates_and_reports_and_a_second_run_reads_what_is_done(recipe, capsys):
    root = run_curriculum(recipe, ["--seeds", "0", "1", "--dpo.beta", "0.3"])
    report = json.loads((root / "report.json").read_text())
    assert list(report["stages"]) == ["base", "sft", "dpo", "grpo"]
    assert [record["step"] for record in report["meta"]["rollouts"]] == [0, 1]
    for seed in ("seed-0", "seed-1"):
        assert json.loads((root / seed / "dpo" / "manifest.json").read_text())["recipe"]["beta"] == 0.3
        assert (root / seed / "grpo" / "eval" / "samples.jsonl").is_file()
    assert not (root / "seed-1" / "base").exists()  # the base is the same for every seed
    capsys.readouterr()
    run_curriculum(recipe, ["--seeds", "0", "1", "--dpo.beta", "0.3"])
    said = capsys.readouterr().out
    assert said.count("skipped") == 6
    assert said.count("is complete; read") == 7


def test_a_slip_in_the_last_stages_recipe_is_found_before_the_first_stage_runs(recipe):
    folder = recipe.parent
    (folder / "grpo.yaml").write_text("lerning_rate: 1\n")
    with pytest.raises(StageError, match="did you mean learning_rate"):
        run_curriculum(recipe)
    assert not (folder / "run").exists()


def test_an_unknown_reward_is_found_before_the_first_stage_runs(recipe):
    with pytest.raises(StageError, match="there is no preset 'kindness'"):
        run_curriculum(recipe, ["--grpo.reward", "kindness"])
    assert not (recipe.parent / "run").exists()


def test_held_out_rows_that_are_not_there_are_told_before_the_first_stage_runs(recipe, rows_folder):
    (rows_folder / "validation.jsonl").rename(rows_folder / "test.jsonl")
    with pytest.raises(StageError, match=r"validation\.jsonl: no such file.*--evaluate_on test takes test\.jsonl"):
        run_curriculum(recipe)
    assert not (recipe.parent / "run" / "seed-0").exists()


@pytest.mark.parametrize("flags", [["--seed", "1"], ["--sfd.max_steps", "1"]])
def test_an_unknown_flag_is_refused(flags, recipe):
    with pytest.raises(StageError, match="unknown key"):
        run_curriculum(recipe, flags)


def test_the_pocket_curriculum_parses():
    path = files("stages").joinpath("recipes", "pocket", "curriculum.yaml")
    recipe = curriculum.parse_flat(curriculum.CurriculumRecipe, ["--config", str(path)])
    assert recipe.model == "pocket"
    assert recipe.seeds == [0]
