"""`tritrace fit`: its settings fit, it reduces them in order, and the repository's recipes are its golden output."""

import re
from functools import cache
from importlib.resources import files

import pytest
import torch
from typer.testing import CliRunner

from stages.__main__ import app
from stages.arguments.stage import parse_flat, parse_stage
from stages.curriculum import CurriculumRecipe
from stages.errors import StageError
from stages.fit.cards import cards, find_cards
from stages.fit.choice import GENERATIONS, LADDER, fit
from stages.fit.evaluation import BATCHES, eval_batch_size, fitted_batch, response_limit
from stages.fit.model import find_model, shape_sources
from stages.fit.recipe_text import Places, recipe_files
from stages.fit.roofline import update_seconds
from stages.fit.show import nothing_fits
from stages.fit.time import LEAST_UPDATES, amounts_within, hours, read_budget, whole_amount
from stages.memory.estimate import GIB
from stages.memory.shapes import meta_model, shape_names
from stages.memory.vision import vision_shape
from stages.preflight.check import COMFORT
from stages.provenance.manifest import Manifest
from stages.results.subjects import subject_of
from stages.spec import SPECS

STAGES = ("sft", "dpo", "grpo")
RECIPES = files("stages").joinpath("recipes")
GOLDEN = {"qwen2.5-vl-3b": 24, "qwen3-vl-4b": 16, "qwen3.5-4b": 16}
"""Recipe folders that `tritrace fit MODEL --card GIB --write` made."""


@cache
def fitted(name, gib):
    return fit(find_model(name), gib, STAGES)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_recipes_of_the_repository_are_what_fit_writes(name):
    found = fitted(name, GOLDEN[name])
    plans = amounts_within(found.stages, None, None)
    written = recipe_files(found, plans, Places(f"stages/recipes/{name}", f"runs/{name}"))
    kept = {path.name: path.read_text() for path in RECIPES.joinpath(name).iterdir()}
    assert written == kept


def test_a_smaller_card_gives_up_precision_before_it_gives_up_everything():
    large, small, none = fitted("qwen3-vl-4b", 24), fitted("qwen3-vl-4b", 8), fitted("qwen3-vl-4b", 2)
    rungs = [LADDER.index(each.last.rung) for each in (large, small, none)]
    assert rungs == sorted(rungs)
    assert rungs[0] < rungs[2] == len(LADDER) - 1
    for found in (large, small):
        for stage, each in found.stages.items():
            assert each.memory.peak <= COMFORT * found.gib * GIB, stage
    assert none.stages == {}
    lines = nothing_fits(none)
    assert "nothing fits 2 GiB" in lines[0]
    assert "smaller model" in lines[-1]


def test_all_stages_share_what_the_next_one_inherits():
    found = fitted("qwen3-vl-4b", 16)
    assert {each.rung for each in found.stages.values()} == {found.last.rung}


def test_grpo_samples_sixteen_or_more_together_unless_nothing_larger_is_left_to_give_up():
    for gib in (24, 16, 12):
        step = fitted("qwen3-vl-4b", gib).stages["grpo"].step
        assert step.sampled >= 16
        assert step.sampled % GENERATIONS == 0
        assert step.sampled % step.sequences == 0


def test_what_is_written_parses_and_says_what_was_chosen(tmp_path):
    runner = CliRunner(env={"COLUMNS": "200"})
    done = runner.invoke(
        app, ["fit", "qwen3-vl-2b", "--card", "rtx-4060-ti-16gb", "--budget", "12h", "--write", str(tmp_path / "mine")]
    )
    assert done.exit_code == 0, done.output
    assert "rtx-4060-ti-16gb" in done.output
    recipe = parse_flat(CurriculumRecipe, ["--config", str(tmp_path / "mine" / "curriculum.yaml")])
    assert recipe.eval_batch_size in BATCHES
    for stage in STAGES:
        arguments, config = parse_stage(stage, ["--config", str(tmp_path / "mine" / f"{stage}.yaml")])
        assert arguments.card_gib == 16
        assert arguments.max_rows is not None  # twelve hours are not enough for everything
        rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
        assert rows == SPECS[stage].per_update
        assert recipe.model == arguments.model == "Qwen/Qwen3-VL-2B-Instruct"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--card", "big"], "--card: expected GiB, such as 16, or a name, found 'big'"),
        (["--card", "16", "--budget", "soon"], "--budget: expected hours or minutes, such as 12h or 90m, found 'soon'"),
        (["--card", "16", "--stage", "ppo"], "--stage: expected sft, dpo or grpo, found 'ppo'"),
    ],
)
def test_what_cannot_be_understood_is_said_with_what_was_expected(words, message):
    done = CliRunner().invoke(app, ["fit", "smollm2-135m", *words])
    assert message in str(done.exception)


def test_a_budget_is_kept_and_one_that_is_too_small_names_the_least():
    stages, card = fitted("qwen3-vl-4b", 16).stages, find_cards("rtx-4060-ti-16gb")[0]
    whole = sum(hours(each, whole_amount(stage), card) for stage, each in stages.items())
    plans = amounts_within(stages, card, whole / 4)
    spent = sum(hours(each, plans[stage], card) for stage, each in stages.items())
    assert whole / 4 - 1 < spent <= whole / 4
    assert amounts_within(stages, card, whole + 1) == {stage: whole_amount(stage) for stage in stages}
    assert all(plan.updates(stage) >= LEAST_UPDATES for stage, plan in plans.items())
    with pytest.raises(StageError, match=r"fewer than 10 updates .*the least is about \d"):
        amounts_within(stages, card, 0.1)
    with pytest.raises(StageError, match="named cards only"):
        amounts_within(stages, None, 12.0)
    assert (read_budget("12h"), read_budget("90m")) == (12.0, 1.5)


def test_time_follows_the_figures_of_the_card_and_of_the_step():
    each = fitted("qwen3-vl-4b", 16).stages["grpo"]
    slow, fast = (find_cards(name)[0] for name in ("rtx-4060-ti-16gb", "rtx-4080"))
    on_slow, on_fast = (update_seconds(each.shape, each.step, card, each.accumulation) for card in (slow, fast))
    assert on_slow.training > on_fast.training > 0
    assert on_slow.sampling > on_fast.sampling > 0
    twice = update_seconds(each.shape, each.step, slow, 2 * each.accumulation)
    assert twice.total == pytest.approx(2 * on_slow.total)


def test_every_card_has_figures_and_a_source():
    assert {card.gib for card in cards().values()} >= {8, 12, 16, 24}
    for card in cards().values():
        if card.name == "t4":  # its tensor cores do more work per CUDA core; the data sheet has both figures
            continue
        cores, ghz, bits, rate = (float(number) for number in re.findall(r"\d[\d.]*", card.source))
        assert card.tflops == pytest.approx(4 * cores * ghz / 1000, rel=0.01)
        assert card.bandwidth_gb_s == pytest.approx(bits * rate / 8, rel=0.01)
    for card in cards().values():
        assert min(card.gib, card.bandwidth_gb_s, card.tflops) > 0
        assert card.source
    assert [card.name for card in find_cards("24")] == ["rtx-3090", "rtx-4090"]
    assert find_cards("RTX 4090")[0].gib == 24
    assert find_cards("11")[0].name == ""


def test_a_card_without_bfloat16_gets_float16(tmp_path):
    done = CliRunner().invoke(app, ["fit", "smollm2-135m", "--card", "t4", "--write", str(tmp_path / "old")])
    assert done.exit_code == 0, done.output
    arguments, config = parse_stage("sft", ["--config", str(tmp_path / "old" / "sft.yaml")])
    assert arguments.dtype == "float16"
    assert config.fp16
    assert not config.bf16


def test_every_shape_has_its_name_on_the_hub_and_a_source():
    assert sorted(shape_sources()) == shape_names()
    for name, entry in shape_sources().items():
        assert entry["source"]
        assert find_model(entry["hub"]).shape == name


COUNTED = [name for name, entry in shape_sources().items() if "parameters" in entry]


@pytest.mark.parametrize("name", COUNTED)
def test_a_shape_has_the_published_number_of_weights(name):
    model = meta_model(find_model(name).config, torch.bfloat16)
    count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert count == pytest.approx(shape_sources()[name]["parameters"], rel=5e-3)


def test_composed_shapes_have_a_published_number_of_weights():
    composed = {name for name, entry in shape_sources().items() if entry["source"].startswith("composed")}
    assert len(composed) == 6
    assert set(COUNTED) == composed | {"qwen3.5-2b"}


TILED = {"smolvlm2-500m": 512, "internvl3.5-4b": 448, "llava-onevision-0.5b": 384}
"""Models whose pictures are cut into tiles, of so many pixels a side."""


@pytest.mark.parametrize("name", TILED)
def test_pictures_that_are_cut_into_tiles_get_whole_tiles_and_room_for_words(name, tmp_path):
    done = CliRunner().invoke(app, ["fit", name, "--card", "12", "--write", str(tmp_path / "mine")])
    assert done.exit_code == 0, done.output
    arguments, config = parse_stage("grpo", ["--config", str(tmp_path / "mine" / "grpo.yaml")])
    assert arguments.min_pixels is None  # SmolVLM2 refuses it, and to a tile it would be no bound
    assert arguments.max_pixels % TILED[name] ** 2 == 0
    picture = vision_shape(find_model(name).config).tokens_of(arguments.max_pixels)
    assert arguments.max_tokens - config.max_completion_length - picture >= 768


def manifest_of(stage, **recipe):
    return Manifest(stage=stage, model="m", model_revision="", parent=None, recipe=recipe, data={}, seed=0)


@pytest.mark.parametrize(
    ("manifest", "limit"),
    [
        (None, 1024),
        (manifest_of("grpo", max_completion_length=2048), 2048),
        (manifest_of("grpo"), 256),
        (manifest_of("sft", max_tokens=4096), 1024),
        (manifest_of("sft"), 256),
    ],
)
def test_an_evaluation_allows_responses_as_long_as_the_recipe_did(manifest, limit):
    assert response_limit(manifest) == limit


def test_an_evaluations_batch_is_what_fits():
    shape = fitted("qwen3-vl-4b", 16).last.shape
    batches = [eval_batch_size(shape, 4096, 1024, 1024, gib) for gib in (80, 24, 12, 3)]
    assert batches == sorted(batches, reverse=True)
    assert batches[0] == 64
    assert 64 > batches[1] >= 8  # 64 prompts of a 4B model need more than 24 GiB for keys and values
    assert batches[-1] == 1


def test_a_tiny_model_is_sampled_in_full_batches(tiny_model_path):
    assert fitted_batch(subject_of(str(tiny_model_path)), 64) == 64
