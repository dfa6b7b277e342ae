"""The guarantees of every stage, on a tiny model with random weights."""

import json
from importlib.resources import files

import pytest
import torch

from data.files.json_lines import read_rows
from data.pictures.images import ImageError
from data.rows import RolloutPrompt
from eval.policies.checkpoint import HFPolicy
from eval.policies.constrained import BudgetError
from protocol import Plan, diagnose
from stages import dpo, grpo, sft
from stages.arguments.stage import parse_stage
from stages.errors import StageError
from stages.inputs.loading import load_for_training
from stages.provenance.manifest import read_manifest
from stages.rollouts.reward import Judged
from stages.rollouts.sampling.order import GroupSampler
from stages.rollouts.sampling.weights import merged
from tests.stages.conftest import TRACE, longer_reward


def test_three_stages_hand_one_adapter_on(parse, parent):
    preferred = dpo.run(*parse("dpo", parent=parent))
    rewarded = grpo.run(*parse("grpo", parent=preferred), reward=longer_reward)
    manifests = [read_manifest(folder / "manifest.json") for folder in (parent, preferred, rewarded)]
    assert [manifest.stage for manifest in manifests] == ["sft", "dpo", "grpo"]
    assert [manifest.parent for manifest in manifests] == [None, manifests[0].digest, manifests[1].digest]
    assert len({manifest.adapter for manifest in manifests}) == 3
    for folder in (parent, preferred, rewarded):
        assert sorted(path.name for path in (folder / "adapter").iterdir()) == [
            "adapter_config.json",
            "adapter_model.safetensors",
        ]


def test_dpo_refuses_to_start_without_its_parent(parse, tmp_path):
    with pytest.raises(StageError, match="tritrace sft"):
        dpo.run(*parse("dpo", parent=tmp_path / "sft"))


def test_sft_learns_the_completion_and_not_the_prompt(parse, monkeypatch):
    seen = []
    build = sft.build_trainer

    def spy(setup):
        trainer = build(setup)
        seen.append(trainer.data_collator([trainer.train_dataset[index] for index in range(3)]))
        tokenizer = setup.processor.tokenizer
        seen.append([tokenizer.decode(row[row != -100]) for row in seen[0]["labels"]])
        return trainer

    monkeypatch.setattr(sft, "build_trainer", spy)
    sft.run(*parse("sft", max_steps=1))
    assert seen[1] == [f"{TRACE}<|im_end|>\n"] * 3


def test_a_stage_that_changes_nothing_fails(parse):
    with pytest.raises(StageError, match=r"training changed nothing.*learning_rate is 1e-60"):
        sft.run(*parse("sft", learning_rate=1e-60))


def test_grpo_stops_when_too_much_goes_unscored(parse, parent):
    def silent(items):
        return [Judged(None)] * len(items)

    with pytest.raises(StageError, match="64 of 64 rollouts could not be scored"):
        grpo.run(*parse("grpo", parent=parent, max_steps=20, preflight="false"), reward=silent)
    with pytest.raises(StageError, match="grpo: reward: tritrace: none of 12 responses was scored"):
        grpo.run(*parse("grpo", parent=parent), reward=silent)


def test_prompts_with_and_without_an_image_never_share_a_generation_batch():
    has_images = [number % 3 == 0 for number in range(30)]
    sampler = GroupSampler(has_images=has_images, group_size=4, groups_per_batch=2, num_repeats=1, seed=0)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 30 * 4
    for start in range(0, len(indices), 8):
        assert len({has_images[index] for index in indices[start : start + 8]}) == 1
    for start in range(0, len(indices), 4):
        assert len(set(indices[start : start + 4])) == 1
    assert sorted(set(indices)) == list(range(30))


def test_the_order_of_an_epoch_follows_from_seed_and_epoch_alone():
    def order(seed, epoch):
        options = {"group_size": 1, "groups_per_batch": 2, "num_repeats": 1}
        sampler = GroupSampler(has_images=[True] * 20, seed=seed, **options)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 0) != order(0, 1)


def test_rows_that_are_not_to_be_shuffled_keep_their_order():
    options = {"group_size": 2, "groups_per_batch": 2, "num_repeats": 1, "seed": 0, "shuffle": False}
    assert list(GroupSampler(has_images=[True] * 4, **options)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert list(GroupSampler(has_images=[True, False] * 3, **options)) == [1, 1, 3, 3, 0, 0, 2, 2]


def test_sampling_from_merged_weights_leaves_the_weights_as_they_were(parse, parent):
    model, processor = load_for_training(parse("dpo", parent=parent)[0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = processor.tokenizer("What is in the picture?", return_tensors="pt")
    with torch.no_grad():
        unmerged = model(**inputs).logits
        with merged(model):
            inside = model(**inputs).logits
            changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
        after = model(**inputs).logits
    assert len(changed) == 14
    assert torch.allclose(inside, unmerged, atol=1e-5)
    assert torch.equal(after, unmerged)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_four_bit_loads_trains_continues_and_generates_on_the_cpu(parse, rows_folder, tiny_model_path):
    options = {"load_in_4bit": "true", "max_steps": 2}
    parent = sft.run(*parse("sft", **options))
    preferred = dpo.run(*parse("dpo", parent=parent, **options))
    rewarded = grpo.run(*parse("grpo", parent=preferred, **options), reward=longer_reward)
    policy = HFPolicy(tiny_model_path, rewarded / "adapter", load_in_4bit=True, max_new_tokens=4)
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    assert all(generation.num_tokens <= 4 for generation in policy.respond(prompts[:3], rows_folder))


def test_a_merged_policy_answers_like_the_trained_adapter(parse, parent, rows_folder, tiny_model_path):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    policy = HFPolicy(tiny_model_path, parent / "adapter", max_new_tokens=6, batch_size=5)
    generations = policy.respond(prompts, rows_folder)
    model, processor = load_for_training(parse("dpo", parent=parent)[0])
    model.eval()
    for prompt, generation in zip(prompts, generations, strict=True):
        inputs = policy._encode([prompt], rows_folder)
        ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert generation.text == processor.tokenizer.decode(ids, skip_special_tokens=True)
        assert generation.is_truncated == (processor.tokenizer.eos_token_id not in ids.tolist())


def test_a_policy_samples_by_its_seed_and_leaves_the_generator_alone(rows_folder, tiny_model_path):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    one, other, third = (HFPolicy(tiny_model_path, temperature=1.0, seed=seed, max_new_tokens=4) for seed in (0, 0, 1))
    state = torch.get_rng_state()
    assert one.respond(prompts, rows_folder) == other.respond(prompts, rows_folder)
    assert one.respond(prompts, rows_folder) != third.respond(prompts, rows_folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_constrained_policy_writes_valid_responses_or_says_what_they_need(rows_folder, tiny_model_path):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:3]
    with pytest.raises(BudgetError, match="max_new_tokens 12 is too small"):
        HFPolicy(tiny_model_path, max_new_tokens=12, constrained=True).respond(prompts, rows_folder)
    policy = HFPolicy(tiny_model_path, max_new_tokens=400, constrained=True)
    for prompt, generation in zip(prompts, policy.respond(prompts, rows_folder), strict=True):
        assert diagnose(generation.text, Plan.from_json(prompt.plan)).is_valid
        assert not generation.is_truncated


def test_a_policy_refuses_an_image_that_is_none(rows_folder, tiny_model_path):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    (rows_folder / "images" / "4.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"4\.png': not an image"):
        HFPolicy(tiny_model_path, max_new_tokens=2).respond(prompts, rows_folder)


def test_every_pocket_recipe_parses_and_opens_with_its_command():
    recipes = files("stages").joinpath("recipes", "pocket")
    for stage in ("sft", "dpo", "grpo"):
        path = recipes.joinpath(f"{stage}.yaml")
        assert path.read_text().startswith(f"# tritrace {stage} --config stages/recipes/pocket/{stage}.yaml")
        parse_stage(stage, ["--config", str(path), "--model", "m"])
    assert json.dumps(sorted(path.name for path in recipes.iterdir())) == json.dumps(
        ["curriculum.yaml", "dpo.yaml", "experiments", "grid.yaml", "grpo.yaml", "published.json", "sft.yaml"]
    )
