"""Sampling of rollouts: merged weights, grammars, groups without spread, and their effect on the loss."""

import pytest
import torch
from peft import LoraModel

from eval.policies.constrained import BudgetError
from protocol import Plan, diagnose
from stages.rollouts import trainer as trainer_module
from stages.rollouts.reward import Judged
from stages.rollouts.sampling.weights import is_exact_when_merged, merged
from tests.stages.conftest import longer_reward, rollouts_in, row_of, rows_of

ENOUGH = 400
"""Token limit of a response under the plan's grammar."""


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def is_same_state(model, before):
    return all(
        torch.equal(tensor.view(torch.uint8), before[name].view(torch.uint8))
        for name, tensor in model.state_dict().items()
    )


def interrupted_inside(model, before):
    with merged(model):
        assert not is_same_state(model, before)
        raise KeyboardInterrupt


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merged_sampling_restores_every_bit_whatever_happens_inside(make_trainer, dtype):
    """Subtracting the adapter would not: the control shows the changed bits."""
    model = make_trainer().model.to(dtype)
    before = state_of(model)
    with pytest.raises(KeyboardInterrupt):
        interrupted_inside(model, before)
    assert is_same_state(model, before)
    model.merge_adapter(["default"])
    model.unmerge_adapter()
    assert not is_same_state(model, before)


def test_sampling_a_batch_leaves_every_bit_of_the_model(make_trainer):
    trainer = make_trainer()
    before = state_of(trainer.model)
    trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert is_same_state(trainer.model, before)


@pytest.fixture
def merges(monkeypatch):
    """Collect the names of the adapters of each merge."""
    found = []
    merge = LoraModel.merge_adapter

    def noted(model, *, adapter_names):
        found.append(adapter_names)
        merge(model, adapter_names=adapter_names)

    monkeypatch.setattr(LoraModel, "merge_adapter", noted)
    return found


@pytest.mark.parametrize(("is_merged", "expected"), [("true", [["default"], ["ref"]]), ("false", [])])
def test_a_key_says_whether_sampling_and_the_reference_are_merged(make_trainer, merges, is_merged, expected):
    trainer = make_trainer(merge_for_sampling=is_merged)
    trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert merges == expected


def batch_and_gradients(trainer):
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    trainer._compute_loss(trainer.model, batch).backward()
    return batch, {name: each.grad for name, each in trainer.model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("shared", ["true", "false"])
def test_merging_changes_log_probabilities_and_gradients_by_rounding_only(make_trainer, monkeypatch, shared):
    """Policy and reference differ, so that the KL term has a gradient; nothing of the merge is left in the model."""
    found = []
    for is_merged in (False, True):
        trainer = make_trainer(share_prompts=shared, num_iterations=2, max_completion_length=24)
        for name, parameter in trainer.model.named_parameters():
            if ".lora_B.ref." in name:
                parameter.data *= 0.5
        before = state_of(trainer.model)
        with monkeypatch.context() as patch:
            if not is_merged:
                patch.setattr(trainer_module, "is_exact_when_merged", lambda _: False)
            found.append(batch_and_gradients(trainer))
        assert is_same_state(trainer.model, before)
    (apart, gradients), (once, others) = found
    kept = apart["completion_mask"] == 1
    assert torch.equal(apart["completion_ids"], once["completion_ids"])
    for key in ("old_per_token_logps", "ref_per_token_logps"):
        assert torch.allclose(apart[key][kept], once[key][kept], atol=1e-5)
        assert not torch.equal(apart[key][kept], once[key][kept])
    assert not torch.allclose(apart["old_per_token_logps"][kept], apart["ref_per_token_logps"][kept], atol=1e-2)
    assert gradients.keys() == others.keys()
    assert all(torch.allclose(gradients[name], others[name], atol=1e-6) for name in gradients)


def test_a_pass_in_bfloat16_or_without_adapter_is_not_merged(make_trainer):
    model = make_trainer().model
    assert is_exact_when_merged(model)
    with model.disable_adapter():
        assert not is_exact_when_merged(model)
    assert not is_exact_when_merged(model.to(torch.bfloat16))


def logps_by_hand(trainer, batch, row):
    """Return the log-probabilities of a completion's tokens, from the model's logits for the single whole row."""
    prompt = batch["prompt_ids"][row][batch["prompt_mask"][row] == 1]
    completion = batch["completion_ids"][row][batch["completion_mask"][row] == 1]
    ids = torch.cat([prompt, completion]).unsqueeze(0)
    pictures = {}
    if "pixel_values" in batch:
        sizes = batch["image_grid_thw"].prod(dim=1).tolist()
        start = sum(sizes[:row])
        pictures = {"pixel_values": batch["pixel_values"][start : start + sizes[row]]}
        pictures |= {"image_grid_thw": batch["image_grid_thw"][row : row + 1]}
        pictures["mm_token_type_ids"] = (ids == trainer.model.config.image_token_id).int()
    with torch.no_grad():
        logits = trainer.model(input_ids=ids, attention_mask=torch.ones_like(ids), **pictures).logits[0]
    scaled = logits[len(prompt) - 1 : -1].float() / trainer.temperature
    return scaled.log_softmax(dim=-1), completion


def test_constrained_rollouts_are_valid_and_their_old_log_probabilities_are_the_unconstrained_policys(make_trainer):
    """The mask removes forbidden tokens, so the sampled tokens are more likely with the mask than without it."""
    trainer = make_trainer(constrained="true", max_completion_length=ENOUGH, num_iterations=2, temperature=0.7)
    rows = rows_of(trainer, 1, 2)
    batch = trainer._generate_and_score_completions(rows)
    tokenizer = trainer.processing_class.tokenizer
    for row in range(len(rows)):
        by_hand, completion = logps_by_hand(trainer, batch, row)
        text = tokenizer.decode(completion, skip_special_tokens=True)
        assert diagnose(text, Plan.from_json(rows[row]["plan"])).is_valid
        of_tokens = by_hand.gather(1, completion.unsqueeze(1)).squeeze(1)
        old = batch["old_per_token_logps"][row][: len(completion)]
        assert torch.allclose(old, of_tokens, atol=1e-4)
        # The first character of a response is forced: certain with the mask, but not for the policy.
        assert old[0] < -1


def test_constrained_rollouts_that_no_valid_response_fits_are_refused_before_training(make_trainer):
    with pytest.raises(BudgetError, match="max_new_tokens 8 is too small"):
        make_trainer(constrained="true")


def paid_by_prompt(flat):
    """Give equal rewards for some prompts, and rewards by place in the batch for others."""

    def reward(items):
        return [Judged(0.5 if row_of(item) in flat else float(place)) for place, item in enumerate(items)]

    return reward


def test_groups_without_spread_are_taken_out_of_the_loss_with_their_kl_and_their_share_of_the_mean(make_trainer):
    trainer = make_trainer(paid_by_prompt({"r1"}), zero_spread="skip")
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert batch["completion_mask"][:4].sum() == 0
    assert batch["num_items_in_batch"] == batch["completion_mask"][4:].sum() > 0
    names = [name for name, value in batch.items() if isinstance(value, torch.Tensor) and len(value.shape) > 0]
    kept = {name: batch[name][4:] for name in names if name not in {"pixel_values", "image_grid_thw"}}
    kept |= {"num_items_in_batch": batch["num_items_in_batch"], "num_images": batch["num_images"][4:]}
    sizes = batch["image_grid_thw"].prod(dim=1)
    kept |= {"pixel_values": batch["pixel_values"][sizes[:4].sum() :], "image_grid_thw": batch["image_grid_thw"][4:]}
    gradients = []
    for each in (batch, kept):
        trainer.model.zero_grad()
        trainer._compute_loss(trainer.model, each).backward()
        gradients.append([p.grad.clone() for p in trainer.model.parameters() if p.grad is not None])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))
    assert any(gradient.abs().max() > 1e-4 for gradient in gradients[0])


def test_groups_without_spread_are_kept_unless_the_recipe_says_otherwise(make_trainer):
    batch = (trainer := make_trainer(paid_by_prompt({"r1"})))._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert (batch["completion_mask"].sum(dim=1) > 0).all()


def test_groups_without_spread_make_room_for_other_prompts_of_their_modality(make_trainer, tmp_path):
    flat = {f"r{number}" for number in range(1, 9)}
    trainer = make_trainer(paid_by_prompt(flat), zero_spread="resample", resample_rounds=6)
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 9))
    rollouts = rollouts_in(tmp_path / "grpo")
    ids = [rollout["id"] for rollout in rollouts]
    assert ids[4:] == ["r9"] * 4  # a group with spread stays
    assert len(set(ids[:4])) == 1
    assert ids[0] not in {"r0", "r9"}  # r0 has no picture
    if ids[0] in flat:  # none found within the rounds: left out of the loss
        assert batch["completion_mask"][:4].sum() == 0
    assert len(batch["completion_ids"]) == 8


def test_resampling_ends_after_its_rounds_and_leaves_out_what_still_has_no_spread(make_trainer, tmp_path):
    asked = []

    def constant(items):
        asked.append(len(items))
        return [Judged(0.5)] * len(items)

    trainer = make_trainer(constant, zero_spread="resample", resample_rounds=3)
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert asked == [8] * 4  # the first sampling and three rounds; TRL's own call uses the known results
    assert batch["completion_mask"].sum() == 0
    assert len({rollout["id"] for rollout in rollouts_in(tmp_path / "grpo")} & {"r1", "r2"}) == 0


def test_resampled_prompts_follow_from_seed_and_step(make_trainer, tmp_path):
    records = []
    for name in ("one", "other"):
        trainer = make_trainer(
            paid_by_prompt({f"r{number}" for number in range(6)}),
            zero_spread="resample",
            output=tmp_path / name,
            max_steps=3,
        )
        trainer.train()
        records.append([(each["step"], each["id"], each["response"]) for each in rollouts_in(tmp_path / name)])
    assert records[0] == records[1]


def test_truncated_completions_are_masked_by_trls_own_key(make_trainer):
    trainer = make_trainer(longer_reward, mask_truncated_completions="true")
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    ends = torch.tensor(sorted(trainer._end_ids))
    for ids, mask in zip(batch["completion_ids"], batch["completion_mask"], strict=True):
        assert bool(mask.sum()) == bool(torch.isin(ids, ends).any())
