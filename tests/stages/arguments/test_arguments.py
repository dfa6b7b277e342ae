import inspect
from dataclasses import fields

import pytest
import yaml
from trl import DPOTrainer, GRPOTrainer

from eval.presets import PRESETS
from stages.arguments.impossible import CHOICES
from stages.arguments.resolved import decisive, describe, resolved
from stages.arguments.stage import GRPOArguments, parse_stage
from stages.errors import StageError

PATHS = {"model": "m", "data": "d.jsonl", "output": "o"}


@pytest.fixture
def recipe(tmp_path):
    def write(**values):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(PATHS | values, sort_keys=False))
        return ["--config", str(path)]

    return write


def test_a_flag_overrides_the_file_which_overrides_our_defaults_which_override_trls(recipe):
    arguments, config = parse_stage("sft", [*recipe(lora_r=4, max_steps=7), "--max_steps", "9"])
    assert (arguments.lora_r, arguments.lora_alpha) == (4, 32)
    assert config.max_steps == 9
    assert config.max_length is None
    assert config.logging_steps == 10
    assert config.output_dir == "o/checkpoints"


def test_null_on_the_command_line_is_null_and_overrides_the_file(recipe):
    flags = ["--judge_cache", "null", "--max_rows=null", "--attn_implementation", "null", "--max_steps", "9"]
    arguments, config = parse_stage("grpo", [*recipe(max_rows=4, attn_implementation="eager"), *flags])
    assert (arguments.judge_cache, arguments.max_rows, arguments.attn_implementation) == (None, None, None)
    assert config.max_steps == 9
    with pytest.raises(StageError, match="lora_r"):
        parse_stage("sft", [*recipe(), "--lora_r", "null"])


def test_numbers_that_yaml_reads_as_text_are_numbers(recipe, tmp_path):
    del recipe
    path = tmp_path / "recipe.yaml"
    path.write_text("model: m\ndata: d\noutput: o\nlearning_rate: 1e-4\n")
    assert parse_stage("sft", [f"--config={path}"])[1].learning_rate == 1e-4


def test_every_mistake_in_a_recipe_is_listed_with_its_line_and_the_nearest_name(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: 3\nlerning_rate: 1\nmax_steps: soon\noutput_dir: x\ndata: d\noutput: o\nbf16: 1\n")
    with pytest.raises(StageError) as caught:
        parse_stage("grpo", ["--config", str(path)])
    assert [problem.removeprefix(f"{path}:") for problem in caught.value.problems] == [
        "1: model: expected str, found 3",
        "2: unknown key 'lerning_rate'; did you mean learning_rate?",
        "3: max_steps: expected int, found 'soon'",
        "4: output_dir cannot be set; use output",
        "7: bf16: expected bool or null, found 1",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "expected lines of `key: value`"),
        ("model: [1\n", "not YAML"),
        ("model: a\nmodel: b\n", ":2: model is given twice, first in line 1"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(text, message, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(StageError, match=message):
        parse_stage("sft", ["--config", str(path)])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(StageError, match="No such file"):
        parse_stage("sft", ["--config", str(tmp_path / "none.yaml")])


@pytest.mark.parametrize(
    ("stage", "flags", "message"),
    [
        ("sft", ["--lora", "4"], "command line: unknown key 'lora'; did you mean lora_r"),
        ("sft", ["--max_steps", "soon"], "invalid int value: 'soon'"),
        ("sft", ["--lora_target", "vision"], "invalid choice: 'vision'"),
        ("sft", ["--gradient_checkpointing", "true"], "use activation_checkpointing"),
        ("sft", ["--lora_r", "0"], "lora_r: expected 1 or more, found 0"),
        ("sft", ["--lora_dropout", "1"], "lora_dropout: expected a share from 0 to below 1, found 1"),
        ("sft", ["--save_total_limit", "1"], "a checkpoint stays until the next one is whole"),
        ("sft", ["--reward", "tritrace"], "unknown key 'reward'"),
        ("grpo", ["--beta", "0"], "beta: expected more than 0, found 0.0; at 0 TRL keeps no reference policy"),
        ("grpo", ["--num_generations", "3"], "must be divisible by num_generations"),
        ("grpo", ["--steps_per_generation", "4"], "save_steps: 50 falls within a generation, which lasts 4 steps"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(stage, flags, message, recipe):
    with pytest.raises(StageError, match=message.replace("(", r"\(")):
        parse_stage(stage, [*recipe(), *flags])


def test_required_fields_are_named():
    with pytest.raises(StageError, match="--data, --output"):
        parse_stage("sft", ["--model", "m"])


def test_only_grpo_has_a_reward(recipe):
    arguments, config = parse_stage("grpo", recipe())
    assert isinstance(arguments, GRPOArguments)
    assert arguments.reward == "tritrace"
    assert config.beta > 0


def test_the_resolved_recipe_says_what_is_inherited_and_what_overridden(recipe):
    lines = describe(*parse_stage("dpo", [*recipe(lora_r=4), "--beta=0.2"]))
    origin = {line.split()[0]: " ".join(line.split()[2:]) for line in lines}
    assert origin["lora_r"] == "overridden by the recipe"
    assert origin["beta"] == "overridden by the flag"
    assert origin["lora_alpha"] == origin["max_length"] == "inherited"


def test_paths_and_logging_are_no_part_of_what_decides_the_outcome(recipe):
    one = decisive(resolved(*parse_stage("sft", recipe())))
    other = decisive(resolved(*parse_stage("sft", [*recipe(), "--output=elsewhere", "--logging_steps=1"])))
    assert one == other
    assert one != decisive(resolved(*parse_stage("sft", [*recipe(), "--learning_rate=1"])))


@pytest.mark.parametrize(("stage", "trainer"), [("dpo", DPOTrainer), ("grpo", GRPOTrainer)])
def test_the_words_that_a_trainer_knows_are_those_of_its_source(stage, trainer, recipe):
    source = inspect.getsource(trainer)
    config = parse_stage(stage, recipe())[1]
    for name, words in CHOICES[type(config).__name__].items():
        assert hasattr(config, name)
        assert [word for word in words if f'"{word}"' not in source and f"'{word}'" not in source] == []
        with pytest.raises(StageError, match=f"{name}: expected one of {words[0]}, .*; found 'no_such'"):
            parse_stage(stage, [*recipe(), f"--{name}=no_such"])


FIRST = frozenset(
    [
        "attn_implementation",
        "card_gib",
        "constrained",
        "data",
        "dtype",
        "judge",
        "judge_cache",
        "judge_concurrency",
        "judge_max_unscored",
        "judge_model",
        "judge_timeout",
        "judge_url",
        "judge_window",
        "load_in_4bit",
        "lora_alpha",
        "lora_dropout",
        "lora_r",
        "lora_target",
        "max_pixels",
        "max_rows",
        "max_tokens",
        "max_unscored",
        "merge_for_sampling",
        "min_pixels",
        "model",
        "output",
        "overlong_window",
        "parent",
        "preflight",
        "reflect",
        "reflect_below",
        "reflect_share",
        "resample_rounds",
        "reward",
        "rollouts_file_mib",
        "zero_spread",
        "allow_pickle",
    ]
)
"""Our keys in the recipes of the first stages that were trained."""


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_a_stage_made_before_there_was_a_key_is_the_same_stage_as_one_at_its_default(stage, recipe):
    """New keys such as `allow_broken`, `extend` and `picture_ground` must not cause a finished stage to train again."""
    arguments, config = parse_stage(stage, recipe())
    now = resolved(arguments, config)
    weights = {option.name for preset in PRESETS.values() for option in fields(preset.weights)}
    ours = {option.name for option in fields(arguments)} - weights
    before = {name: value for name, value in now.items() if name in FIRST or name not in ours}
    assert {"allow_broken", "extend", "picture_ground"} <= now.keys() - before.keys()
    assert decisive(before) == decisive(now)
