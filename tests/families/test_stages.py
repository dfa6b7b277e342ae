"""Each family goes through all three stages, evaluation, chat and export, with pictures and two steps per stage.

The families of `QUICK` do so in every test run, the others only with slow tests.
`test_two_steps_train_the_adapter_of_every_family` trains two steps of each stage with every family.
"""

import re

import pytest
import torch
from typer.testing import CliRunner

from data.files.json_lines import read_rows
from data.rows import PreferencePair, RolloutPrompt, SFTRow
from eval.families import FAMILIES, family_of
from eval.models.loading import load_config, quiet_libraries
from eval.policies.checkpoint import HFPolicy
from stages import dpo, grpo, sft
from stages.__main__ import app
from stages.export.run import ExportOptions, export_stage
from stages.inputs.loading import adapter_weights, is_same_adapter, load_for_training
from stages.results.subjects import subject_of
from tests.families.models import BUILDERS
from tests.stages.conftest import longer_reward

QUICK = {"qwen3.5"}
ROWS = {"sft": SFTRow, "dpo": PreferencePair, "grpo": RolloutPrompt}


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BUILDERS]
)
def test_a_family_goes_through_the_stages_evaluation_chat_and_export(name, case_of, tmp_path):
    case = case_of(name)
    with quiet_libraries():
        first = sft.run(*case.parse("sft", tmp_path / "sft"))
        second = dpo.run(*case.parse("dpo", tmp_path / "dpo", parent=first))
        last = grpo.run(*case.parse("grpo", tmp_path / "grpo", parent=second), reward=longer_reward)
    prompts = read_rows(case.data / "grpo.jsonl", RolloutPrompt)
    policy = subject_of(None, last).load(batch_size=4, max_new_tokens=6)
    answers = [each.text for each in policy.respond(prompts, case.data)]
    with quiet_libraries():
        folder = export_stage(last, tmp_path / "merged", ExportOptions(merge=True, dtype="float32"))
    merged = HFPolicy(folder, batch_size=4, max_new_tokens=6, dtype="float32", label="")
    assert [each.text for each in merged.respond(prompts, case.data)] == answers
    picture = ["--image", str(case.data / "images" / "0.png")] if case.sees else []
    asked = CliRunner().invoke(app, ["chat", "What is it?", "--adapter", str(last), *picture, "--max-new-tokens", "4"])
    assert asked.exit_code == 1  # it was not trained enough to write a trace
    assert "verdict: invalid" in asked.output


@pytest.mark.parametrize("stage", ROWS)
def test_two_steps_train_the_adapter_of_every_family(case, stage, trainer_of):
    trainer = trainer_of(case, stage, read_rows(case.data / f"{stage}.jsonl", ROWS[stage]))
    before = adapter_weights(trainer.model)
    frozen = {name: each.clone() for name, each in trainer.model.named_parameters() if not each.requires_grad}
    trainer.train()
    assert not is_same_adapter(before, adapter_weights(trainer.model))
    after = dict(trainer.model.named_parameters())
    assert all(torch.equal(each, after[name]) for name, each in frozen.items())


LANGUAGE = {
    "self_attn": {"q_proj", "k_proj", "v_proj", "o_proj"},
    "mlp": {"gate_proj", "up_proj", "down_proj"},
}
LINEAR = {"linear_attn": {"in_proj_qkv", "in_proj_z", "out_proj"}}


def test_the_adapter_is_on_the_language_models_layers(case, tmp_path):
    """On each of the two layers; one of Qwen3.5's layers has linear attention."""
    model, _ = load_for_training(case.parse("sft", tmp_path)[0])
    names = [name.removesuffix(".lora_A.default.weight") for name, _ in model.named_parameters() if "lora_A" in name]
    assert not [name for name in names if re.search("vision|visual", name)]
    found = {}
    for name in names:
        *_, block, layer = name.split(".")
        found.setdefault(block, []).append(layer)
    hybrid = case.name.startswith("qwen3.5")
    assert {block: set(layers) for block, layers in found.items()} == LANGUAGE | (LINEAR if hybrid else {})
    assert len(names) == (7 + 3 + 3 if hybrid else 2 * 7)


def test_every_family_of_the_table_that_sees_is_tested():
    """The table may only list families that have a tiny model here."""
    assert len(FAMILIES) == 8
    assert set(BUILDERS) >= {
        "qwen2.5-vl",
        "qwen3-vl",
        "qwen3.5",
        "smolvlm2",
        "gemma3",
        "internvl3.5",
        "llava-onevision",
    }


def test_a_model_is_known_as_one_of_its_family(case):
    names = {"qwen3.5-thinking": "Qwen3.5", "qwen3-text": "text models of the Llama kind"}
    found = family_of(load_config(str(case.model))).name
    assert found == names.get(case.name, found)
    assert found.lower().replace(" ", "").startswith(case.name[:6]) or case.name in names
