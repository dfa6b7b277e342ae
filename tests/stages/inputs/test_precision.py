"""Values that must not be rounded: the adapter of a quantised base, and the buffers of a merged model."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from data.files.json_lines import read_rows
from data.rows import RolloutPrompt
from eval.models.loading import load_model, quiet_libraries
from eval.policies import checkpoint
from eval.policies.checkpoint import HFPolicy
from stages import dpo, grpo, sft
from stages.export import weights as export_weights
from stages.export.run import ExportOptions, export_stage
from stages.inputs.loading import adapter_weights
from tests.stages.conftest import longer_reward

STAGES = {"sft": sft, "dpo": dpo, "grpo": grpo}


def adapter_of(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def share_changed(one, other):
    changed = sum(int((one[name] != other[name]).sum()) for name in one)
    return changed / sum(tensor.numel() for tensor in one.values())


@pytest.fixture
def quantised_parent(parse):
    return sft.run(*parse("sft", load_in_4bit="true", max_steps=2))


@pytest.mark.parametrize("stage", ["dpo", "grpo"])
def test_an_update_of_a_millionth_reaches_the_adapter_of_a_quantised_base(stage, parse, quantised_parent):
    """Adam's first step equals the learning rate for each weight with a gradient; in bfloat16 few would change."""
    options = {"load_in_4bit": "true", "parent": quantised_parent, "max_steps": 1, "learning_rate": 1e-6}
    rewards = {"reward": longer_reward} if stage == "grpo" else {}
    folder = STAGES[stage].run(*parse(stage, lr_scheduler_type="constant", **options), **rewards)
    assert share_changed(adapter_of(quantised_parent), adapter_of(folder)) > 0.9


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_what_is_trained_is_float32_and_as_it_was_loaded(stage, parse, quantised_parent, monkeypatch):
    seen = {}

    def spy(trainer):
        seen["dtypes"] = {weight.dtype for weight in trainer.model.parameters() if weight.requires_grad}
        seen["start"] = adapter_weights(trainer.model)
        raise KeyboardInterrupt

    monkeypatch.setattr("stages.lifecycle.training._train", lambda trainer, _: spy(trainer))
    parent = {} if stage == "sft" else {"parent": quantised_parent}
    arguments = parse(stage, load_in_4bit="true", output=quantised_parent.parent / "next", **parent)
    with pytest.raises(SystemExit):
        STAGES[stage].run(*arguments, **({"reward": longer_reward} if stage == "grpo" else {}))
    assert seen["dtypes"] == {torch.float32}
    if stage != "sft":
        kept = adapter_of(quantised_parent)
        assert sum(tensor.numel() for tensor in kept.values()) == sum(each.numel() for each in seen["start"].values())
        assert all(torch.equal(kept[name], tensor) for name, tensor in seen["start"].items())


@pytest.fixture
def trained(parse):
    return sft.run(*parse("sft", learning_rate=1e-3))


def products(adapter):
    """Return the product that an adapter adds to each weight, by the weight's name."""
    scale = 32 / 4  # alpha / r
    names = [name.removesuffix(".lora_A.weight") for name in adapter if name.endswith(".lora_A.weight")]
    return {
        name.removeprefix("base_model.model."): scale
        * adapter[f"{name}.lora_B.weight"]
        @ adapter[f"{name}.lora_A.weight"]
        for name in names
    }


def assert_is_merged_once(model, base, adapter):
    """Assert that adapted weights are float32 sums, rounded once, and everything else equals the base."""
    added = products(adapter)
    assert len(added) == 14
    merged = dict(model.named_parameters())
    for name, weight in base.named_parameters():
        product = added.get(name.removesuffix(".weight"), torch.zeros(()))
        wanted = (weight.float() + product).to(torch.bfloat16)
        assert torch.equal(merged[name], wanted), name
    buffers = dict(model.named_buffers())
    assert {name for name in buffers if "inv_freq" in name}
    for name, buffer in base.named_buffers():
        assert (buffers[name].dtype, torch.equal(buffers[name], buffer)) == (buffer.dtype, True), name


def test_a_policy_is_merged_layer_by_layer_and_its_buffers_are_the_bases(trained, tiny_model_path, monkeypatch):
    dtypes = []

    def spy(*args, dtype, **options):
        dtypes.append(dtype)
        return load_model(*args, dtype=dtype, **options)

    monkeypatch.setattr(checkpoint, "load_model", spy)
    policy = HFPolicy(tiny_model_path, trained / "adapter", dtype="bfloat16")
    assert dtypes == [torch.bfloat16]  # the host never has a float32 copy
    base = load_model(str(tiny_model_path), dtype=torch.bfloat16)
    assert {buffer.dtype for name, buffer in base.named_buffers() if "inv_freq" in name} == {torch.float32}
    assert_is_merged_once(policy.model, base, adapter_of(trained))


def test_a_merged_policy_and_the_unmerged_adapter_agree_far_into_a_prompt(trained, rows_folder, tiny_model_path):
    """Rounded frequencies rotate every position a little, and later positions more."""
    policy = HFPolicy(tiny_model_path, trained / "adapter", dtype="float32")
    base = load_model(str(tiny_model_path), dtype=torch.float32)
    with quiet_libraries():
        unmerged = PeftModel.from_pretrained(base, str(trained / "adapter")).eval()
    (prompt,) = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[3:4]
    inputs = policy._encode([prompt], rows_folder)
    ids = torch.randint(10, 200, (1, 1500), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for given in (inputs, {"input_ids": ids}):
            difference = policy.model(**given).logits - unmerged(**given).logits
            assert difference.abs().max() < 1e-4


def test_in_bfloat16_every_position_is_turned_as_by_the_unmerged_adapter(trained, tiny_model_path):
    """Up to a distance of 1,500. The logits of such a small model hardly depend on the frequencies."""
    policy = HFPolicy(tiny_model_path, trained / "adapter", dtype="bfloat16")
    base = load_model(str(tiny_model_path), dtype=torch.bfloat16)
    with quiet_libraries():
        unmerged = PeftModel.from_pretrained(base, str(trained / "adapter")).eval()
    ids = torch.randint(10, 200, (1, 1500), generator=torch.Generator().manual_seed(0))

    def seen(model):
        turned = []
        rotary = next(each for each in model.modules() if type(each).__name__.endswith("VLRotaryEmbedding"))
        hook = rotary.register_forward_hook(lambda _, __, output: turned.extend(output))
        with torch.inference_mode():
            logits = model(input_ids=ids).logits.float()
        hook.remove()
        return torch.stack(turned).float(), logits

    turned, logits = seen(policy.model)
    wanted, unmerged_logits = seen(unmerged)
    assert turned.shape[-2] == 1500
    assert torch.equal(turned, wanted)
    assert (logits - unmerged_logits).abs().mean() < 0.05 * unmerged_logits.std()
    for name, buffer in policy.model.named_buffers():
        if "inv_freq" in name:  # as in a model that is cast to bfloat16 as a whole
            buffer.data = buffer.to(torch.bfloat16).float()
    assert (seen(policy.model)[0] - wanted).abs().max() > 0.2


@pytest.mark.parametrize("quantised", [False, True])
def test_an_export_rounds_weights_once_and_no_buffers(quantised, parse, tmp_path, tiny_model_path, monkeypatch):
    stage = sft.run(*parse("sft", load_in_4bit=quantised, dtype="bfloat16", max_steps=2))
    seen = []
    greedy_settings = export_weights.greedy_settings

    def spy(model, processor):
        seen.append(model)
        return greedy_settings(model, processor)

    monkeypatch.setattr(export_weights, "greedy_settings", spy)
    export_stage(stage, tmp_path / "out", ExportOptions(merge=True, dtype="bfloat16"))
    base = load_model(str(tiny_model_path), dtype=torch.bfloat16, load_in_4bit=quantised)
    if quantised:
        base = base.dequantize(torch.bfloat16)
    assert_is_merged_once(seen[0], base, adapter_of(stage))


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_checkpointing_leaves_one_hook_on_each_embedding(stage, parse, trained, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("stages.lifecycle.training._finish", lambda _, trainer, *__: seen.append(trainer.model))
    arguments = parse(
        stage,
        activation_checkpointing="true",
        max_steps=3,
        output=tmp_path / "next",
        **({} if stage == "sft" else {"parent": trained}),
    )
    STAGES[stage].run(*arguments, **({"reward": longer_reward} if stage == "grpo" else {}))
    hooks = {name: len(module._forward_hooks) for name, module in seen[0].named_modules() if module._forward_hooks}
    assert hooks
    assert set(hooks.values()) == {1}, hooks
