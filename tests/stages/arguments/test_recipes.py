"""Every shipped recipe parses, opens with its command, and fits the card it names."""

from functools import cache
from importlib.resources import files

import pytest
import torch

from stages.arguments.stage import parse_flat, parse_stage
from stages.curriculum import CurriculumRecipe
from stages.errors import StageError
from stages.memory.estimate import GIB, estimate
from stages.memory.shapes import meta_model, model_shape, shape_config, shape_names
from stages.preflight.check import StageSubject, memory_section, step_of
from stages.rehearsal.command import recipe_size
from tests.conftest import REPOSITORY

RECIPES = files("stages").joinpath("recipes")
MODELS = sorted(folder.name for folder in RECIPES.iterdir() if folder.name not in {"pocket", "accelerate"})
STAGES = ("sft", "dpo", "grpo")
CASES = [(model, stage) for model in MODELS for stage in STAGES]


def dtype_of(model):
    return "float32" if model == "smollm2-135m" else "bfloat16"  # few CPUs support it


def shape_of(model):
    return next(name for name in shape_names() if model.startswith(name))


def test_no_model_has_lost_its_recipes():
    assert MODELS == [
        "qwen2.5-vl-3b",
        "qwen3-vl-4b",
        "qwen3.5-4b",
        "smollm2-135m",
    ]
    for model in MODELS:
        assert sorted(path.name for path in RECIPES.joinpath(model).iterdir()) == [
            "curriculum.yaml",
            "dpo.yaml",
            "grpo.yaml",
            "sft.yaml",
        ]


@pytest.mark.parametrize(("model", "stage"), CASES)
def test_every_recipe_parses_opens_with_its_command_and_states_dtype_and_bounds(model, stage):
    path = RECIPES.joinpath(model, f"{stage}.yaml")
    text = path.read_text()
    assert text.startswith(f"# tritrace {stage} --config stages/recipes/{model}/{stage}.yaml")
    assert (REPOSITORY / f"stages/recipes/{model}/{stage}.yaml").is_file()
    arguments, config = parse_stage(stage, ["--config", str(path)])
    assert arguments.dtype == dtype_of(model)
    assert arguments.lora_target == "language"
    assert arguments.max_tokens
    if "vl" in model:
        assert arguments.min_pixels < arguments.max_pixels
        assert config.activation_checkpointing
    with pytest.raises(StageError, match="unknown key 'lerning_rate'; did you mean learning_rate"):
        parse_stage(stage, ["--config", str(path), "--lerning_rate=1"])


@pytest.mark.parametrize("model", MODELS)
def test_a_curriculum_names_its_stages_and_the_same_base(model):
    path = RECIPES.joinpath(model, "curriculum.yaml")
    assert path.read_text().startswith(f"# tritrace curriculum stages/recipes/{model}/curriculum.yaml")
    recipe = parse_flat(CurriculumRecipe, ["--config", str(path)])
    for stage in STAGES:
        arguments, _ = parse_stage(stage, ["--config", str(RECIPES.joinpath(model, getattr(recipe, stage)))])
        assert arguments.model == recipe.model
        assert arguments.output == f"{recipe.output}/seed-0/{stage}"
        assert arguments.data == f"{recipe.data or f'{recipe.output}/data'}/{stage}.jsonl"


@cache
def shape_with_adapter(name, *, load_in_4bit, dtype):
    flags = ["--model=m", "--data=d", "--output=o", f"--dtype={dtype}", f"--load_in_4bit={load_in_4bit}"]
    return model_shape(shape_config(name), parse_stage("sft", flags)[0])


def memory_of(model, stage, *flags):
    path = RECIPES.joinpath(model, f"{stage}.yaml")
    arguments, config = parse_stage(stage, ["--config", str(path), *flags])
    shape = shape_with_adapter(shape_of(model), load_in_4bit=arguments.load_in_4bit, dtype=arguments.dtype)
    assert arguments.lora_r == 16
    subject = StageSubject(
        stage=stage,
        arguments=arguments,
        config=config,
        rows=(),
        processor=None,
        model_config=shape_config(shape_of(model)),
    )
    assert subject.on_gpu
    step = step_of(subject, recipe_size(subject))
    return memory_section(estimate(shape, step), shape, step, arguments.card_gib)


@pytest.mark.parametrize(("model", "stage"), CASES)
def test_the_longest_row_that_a_recipe_allows_fits_its_card(model, stage):
    # SmolLM2's recipe is for any card and names none; the test uses a small card.
    section = memory_of(model, stage, *(["--card_gib=8"] if model == "smollm2-135m" else []))
    assert section.level == "ok", f"{section.findings[0].found}\n{section.text}"


def test_what_does_not_fit_is_said_with_what_to_do():
    section = memory_of("qwen3-vl-4b", "sft", "--load_in_4bit=false", "--card_gib=8")
    assert section.level == "fails"
    assert "the card of the recipe has 8.00" in section.findings[0].found
    assert "load_in_4bit" in section.findings[0].advice


@pytest.mark.parametrize(
    ("name", "published_millions"),
    [
        ("smollm2-135m", 134.515),
        ("qwen2.5-vl-3b", 3754.623),
        ("qwen2.5-vl-7b", 8292.167),
        ("qwen3-vl-2b", 2127.532),
        ("qwen3-vl-4b", 4437.816),
        ("gemma-3-4b", 4300.079),
    ],
)
def test_a_shape_has_the_published_number_of_parameters(name, published_millions):
    """The counts are those of the published safetensors files, from the model pages."""
    shape = shape_with_adapter(name, load_in_4bit=False, dtype="bfloat16")
    assert round(shape.num_parameters / 1e6, 3) == published_millions
    assert shape.weight_bytes == 2 * shape.num_parameters


def test_rank_times_widths_is_the_adapters_size():
    shape = shape_with_adapter("smollm2-135m", load_in_4bit=False, dtype="bfloat16")
    widths = (576 + 576) * 2 + (576 + 192) * 2 + (576 + 1536) * 3  # q and o, k and v, the three of the feed-forward
    assert shape.num_trainable == 30 * 16 * widths


def test_the_head_and_what_is_tied_to_it_stay_dense_under_nf4():
    arguments, _ = parse_stage("sft", ["--model=m", "--data=d", "--output=o", "--dtype=bfloat16", "--load_in_4bit=1"])
    shape = model_shape(shape_config("qwen2.5-vl-3b"), arguments)
    embeddings = 151936 * 2048 * 2
    assert 2.1 < shape.weight_bytes / GIB < 2.4
    assert shape.weight_bytes > embeddings
    assert all(
        parameter.is_meta for parameter in meta_model(shape_config("qwen2.5-vl-3b"), torch.bfloat16).parameters()
    )


def test_an_unknown_shape_is_refused_with_those_that_are_known():
    with pytest.raises(StageError, match=r"there is no 'qwen2.5-vl-3'; did you mean qwen2.5-vl-3b.*smollm2-135m"):
        shape_config("qwen2.5-vl-3")


@pytest.mark.parametrize("name", ["fsdp2", "multi_gpu", "zero2", "zero3"])
def test_every_accelerate_file_opens_with_a_command_of_recipes_that_are_there_and_is_one_that_accelerate_reads(name):
    from accelerate.commands.config.config_args import load_config_from_file

    path = REPOSITORY / "stages" / "recipes" / "accelerate" / f"{name}.yaml"
    command = path.read_text().splitlines()[0]
    launch, _, ours = command.partition(" -m stages ")
    assert launch.startswith(f"# accelerate launch --config_file stages/recipes/accelerate/{name}.yaml")
    stage, *flags = ours.split()
    parse_stage(stage, flags)
    assert load_config_from_file(str(path)).num_processes >= 2


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_vllm_is_a_matter_of_trls_own_keys(mode):
    recipe = REPOSITORY / "stages" / "recipes" / "qwen2.5-vl-3b" / "grpo.yaml"
    flags = ["--use_vllm", "true", "--vllm_mode", mode]
    _, config = parse_stage("grpo", ["--config", str(recipe), *flags])
    assert (config.use_vllm, config.vllm_mode) == (True, mode)
