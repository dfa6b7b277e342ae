"""Experiments: declarations are checked first, variants are run once, and results are shown with intervals."""

import json
import re
from dataclasses import replace
from importlib.resources import as_file, files

import pytest
import yaml

from data.files.json_lines import read_rows, write_rows
from data.rows import PreferencePair, RolloutPrompt
from stages.curriculum import Curriculum, CurriculumRecipe
from stages.errors import StageError
from stages.experiments.declaration import read_experiment
from stages.experiments.run import _check, run_experiment

DECLARED = {
    "curriculum": "curriculum.yaml",
    "output": "runs/x",
    "seeds": [0, 1],
    "baseline": "plain",
    "metrics": ["attack_success", "validity"],
    "variants": {
        "plain": {"from": "sft", "stages": ["dpo"]},
        "steps": {"from": "sft", "stages": ["dpo"], "set": {"dpo.max_steps": 3, "dpo.learning_rate": 1e-3}},
        "from-base": {"from": "base", "stages": ["sft", "dpo"]},
        "both": {"from": "sft", "stages": ["dpo"], "data": {"dpo": ["dpo", "more"]}},
    },
}


@pytest.fixture
def declare(tmp_path):
    def write(**changed):
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump(DECLARED | {"output": str(tmp_path / "out")} | changed, sort_keys=False))
        return path

    return write


@pytest.fixture
def curriculum(tmp_path, rows_folder, tiny_model_path):
    """Write a curriculum with the tiny model and a few rows."""
    write_rows(rows_folder / "validation.jsonl", read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:6])
    pairs = read_rows(rows_folder / "dpo.jsonl", PreferencePair)
    write_rows(rows_folder / "more.jsonl", [replace(pair, id=f"more-{pair.id}") for pair in pairs[:5]])
    short = {"max_steps": 2, "save_steps": 2, "logging_steps": 2, "learning_rate": 1e-2, "lora_r": 4}
    stages = {
        "sft": short | {"per_device_train_batch_size": 4},
        "dpo": short | {"per_device_train_batch_size": 4},
        "grpo": short | {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 8},
    }
    for stage, values in stages.items():
        (tmp_path / f"{stage}.yaml").write_text(yaml.safe_dump({"data": "d", "output": "o"} | values))
    recipe = {"model": str(tiny_model_path), "data": str(rows_folder), "output": str(tmp_path / "run")}
    recipe |= {stage: f"{stage}.yaml" for stage in stages} | {"eval_max_new_tokens": 8}
    (tmp_path / "curriculum.yaml").write_text(yaml.safe_dump(recipe))


def test_an_experiment_trains_its_variants_once_and_tables_them_with_intervals(declare, curriculum, tmp_path, capsys):
    del curriculum
    path = declare(seeds=[0])
    run_experiment(path, flags=["--dpo.beta", "0.5"])
    table = (tmp_path / "out" / "table.md").read_text()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.split("\n\n")[0].splitlines()]
    assert rows == ["variant", "---", "(sft)", "plain", "steps", "(base)", "from-base", "both"]
    assert re.search(r"\| plain \| .*\[\d+\.\d, \d+\.\d\].* \| 6 × 1 \|", table)
    assert "Paired difference" in table
    record = json.loads((tmp_path / "out" / "table.json").read_text())
    assert record["plain"]["difference"] is None
    assert record["steps"]["difference"]
    assert record["plain"]["metrics"]["validity"]["n"] == 6
    assert (tmp_path / "out" / "steps" / "seed-0" / "dpo" / "manifest.json").is_file()
    told = (tmp_path / "out" / "both" / "seed-0" / "dpo" / "manifest.json").read_text()
    assert json.loads(told)["data"]["num_rows"] == "10"  # as many rows of each as the shorter one has
    capsys.readouterr()
    run_experiment(path, flags=["--dpo.beta", "0.5"])
    said = capsys.readouterr().out
    # SFT and DPO of the curriculum, which equal the variants plain and from-base, and the two other variants.
    assert said.count("is finished and its inputs are unchanged; skipped") == 4
    assert "step 1/" not in said


def test_a_variant_whose_training_changes_nothing_counts_as_what_it_started_from(declare, curriculum, tmp_path):
    del curriculum
    variants = {
        "still": {"from": "sft", "stages": ["dpo"], "set": {"dpo.learning_rate": 1e-30}},  # lost in rounding
        "plain": {"from": "sft", "stages": ["dpo"]},
    }
    run_experiment(declare(seeds=[0], variants=variants))
    record = json.loads((tmp_path / "out" / "table.json").read_text())
    assert list(record) == ["(sft)", "still", "plain"]
    assert record["still"]["metrics"] == record["(sft)"]["metrics"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "\n\n`still`, seed 0: training changed nothing; these are the results of its start.\n\n| " in table


def test_a_variant_that_fails_is_told_at_the_end_and_keeps_no_other_from_running(
    declare, curriculum, rows_folder, tmp_path
):
    del curriculum
    (rows_folder / "empty.jsonl").write_text("")
    variants = {
        "empty": {"from": "sft", "stages": ["dpo"], "data": {"dpo": "empty"}},
        "plain": {"from": "sft", "stages": ["dpo"]},
    }
    with pytest.raises(StageError, match=r"^empty, seed 0: .*holds no rows") as caught:
        run_experiment(declare(seeds=[0], variants=variants))
    assert len(caught.value.problems) == 1
    assert list(json.loads((tmp_path / "out" / "table.json").read_text())) == ["(sft)", "plain"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"baselin": "x"}, "unknown key 'baselin'; did you mean baseline?"),
        ({"baseline": "plian"}, "baseline: unknown key 'plian'; did you mean plain?"),
        ({"metrics": ["atack_success"]}, "metrics: unknown key 'atack_success'; did you mean attack_success?"),
        ({"seeds": "0"}, "seeds: expected a list of whole numbers, found '0'"),
        (
            {"variants": {"a": {"from": "ppo"}}, "baseline": "a"},
            "variants.a.from: expected one of base, sft, dpo, grpo",
        ),
        ({"variants": {"a": {"form": "sft"}}, "baseline": "a"}, "variants.a: unknown key 'form'; did you mean from?"),
        (
            {"variants": {"a": {"from": "sft", "stages": ["grpo"], "set": {"dpo.beta": 1}}}, "baseline": "a"},
            "variants.a.set: dpo.beta: expected a field of a stage that it trains, such as grpo.max_steps",
        ),
        (
            {"variants": {"a": {"from": "sft", "stages": ["rl"]}}, "baseline": "a"},
            "variants.a.stages: expected a list of sft, dpo, grpo",
        ),
        ({"made": {"m": {"from": "sft", "command": "curate"}}}, "made.m.command: expected a command such as"),
        (
            {"made": {"m": {"from": "sft", "command": "data build {output}", "file": "a/dpo.jsonl"}}},
            "made.m.file: expected the name of a file in the folder that the command makes, found 'a/dpo.jsonl'",
        ),
        ({"curriculum": None}, "curriculum is missing"),
    ],
)
def test_what_cannot_be_right_in_a_declaration_is_told_with_its_field(declare, changed, problem):
    with pytest.raises(StageError, match=re.escape(problem)):
        read_experiment(declare(**changed))


def test_a_field_that_no_recipe_has_is_refused_before_anything_is_trained(declare, curriculum, tmp_path):
    del curriculum
    variants = {"a": {"from": "sft", "stages": ["grpo"], "set": {"grpo.lerning_rate": 1}}}
    with pytest.raises(StageError, match=r"variants.a: .*unknown key 'lerning_rate'; did you mean learning_rate"):
        run_experiment(declare(variants=variants, baseline="a"))
    assert not (tmp_path / "run").exists()


def test_rows_that_a_command_makes_are_made_once_for_a_checkpoint(declare, curriculum, rows_folder, capsys):
    del curriculum
    command = "data curate --model {model} --data {data}/grpo.jsonl --output {output} --samples 2 --max-new-tokens 2"
    command += " --quality 0 1 --min-spread 0 --responses {data}/said.jsonl"
    said = [json.dumps({"id": f"r{number}", "response": "x"}) for number in range(12) for _ in range(2)]
    (rows_folder / "said.jsonl").write_text("\n".join(said))
    path = declare(
        seeds=[0],
        made={"curated": {"from": "base", "command": command}},
        variants={"a": {"from": "base", "stages": ["grpo"], "data": {"grpo": "curated"}}},
        baseline="a",
    )
    for _ in range(2):
        with pytest.raises(StageError, match="holds no rows"):  # without labels nothing is scored, so nothing is kept
            run_experiment(path)
    told = capsys.readouterr().out
    assert told.count("tritrace data curate") == 1
    assert told.count("is up to date") == 1


def test_a_command_may_make_a_folder_of_which_one_file_is_trained_on(declare, curriculum, tmp_path, capsys):
    del curriculum
    command = "data build {output} --scenes described --sft 0 --dpo 4 --grpo 0 --validation 0 --test 0"
    path = declare(
        seeds=[0],
        made={"others": {"from": "sft", "command": command, "file": "dpo.jsonl"}},
        variants={"a": {"from": "sft", "stages": ["dpo"], "data": {"dpo": "others"}}},
        baseline="a",
    )
    run_experiment(path)
    manifest = json.loads((tmp_path / "out" / "a" / "seed-0" / "dpo" / "manifest.json").read_text())
    assert manifest["data"]["num_rows"] == "8"  # two pairs a query
    capsys.readouterr()
    run_experiment(path)
    assert "experiment-others-seed-0/dpo.jsonl is up to date" in capsys.readouterr().out
    path.write_text(path.read_text().replace("file: dpo.jsonl", "file: pairs.jsonl"))
    with pytest.raises(StageError, match=r"made\.others: `tritrace data build .* did not write .*pairs\.jsonl"):
        run_experiment(path)


@pytest.mark.parametrize("name", ["rewards", "pairs"])
def test_the_shipped_experiments_open_with_their_command_and_name_fields_that_there_are(name, tmp_path):
    with as_file(files("stages").joinpath("recipes", "pocket")) as folder:
        path = folder / "experiments" / f"{name}.yaml"
        assert path.read_text().startswith(f"# tritrace experiment stages/recipes/pocket/experiments/{name}.yaml")
        experiment = read_experiment(path)
        assert experiment.seeds == (0, 1, 2)
        assert experiment.curriculum.resolve() == (folder / "curriculum.yaml").resolve()
        recipe = CurriculumRecipe(output=str(tmp_path), sft="sft.yaml", dpo="dpo.yaml", grpo="grpo.yaml")
        flags = dict.fromkeys(("sft", "dpo", "grpo"), ())
        _check(experiment)(Curriculum(recipe, folder, "m", tmp_path, flags))
    made = set(experiment.made)
    used = {each for variant in experiment.variants.values() for names in variant.data.values() for each in names}
    assert made <= used <= made | {"dpo", "grpo"}
