"""Computing a prompt once for its group gives the same tokens, loss and gradients as once for each response."""

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from stages.rollouts.passes import sharing
from stages.rollouts.passes.shared_prompts import Batch, can_share, places_of, prompts_run_once, score_completions
from stages.rollouts.reward import Judged
from tests.stages.conftest import rollouts_in, row_of, rows_of

COMMON = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "head_dim": 8}
COMMON |= {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 1}


def gradients_of(trainer, batch):
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    return loss, {name: each.grad.clone() for name, each in trainer.model.named_parameters() if each.grad is not None}


def batch_and_gradients(trainer, num_rows):
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions(rows_of(trainer, *range(1, 1 + num_rows)))
    return (batch, *gradients_of(trainer, batch))


@pytest.fixture
def passes(monkeypatch):
    """Count the passes with shared prompts."""
    found = []
    monkeypatch.setattr(sharing, "score_completions", lambda *a, **o: found.append(1) or score_completions(*a, **o))
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_iterations": 2},  # old log-probabilities too
        {"constrained": "true", "max_completion_length": 400},
        {"zero_spread": "skip"},
        {"reflect": "self", "reflect_below": 1},
    ],
    ids=["default", "old log-probabilities", "constrained", "skip", "reflect"],
)
def test_tokens_rewards_loss_and_gradients_are_those_of_prompts_apart(make_trainer, tmp_path, passes, options):
    found = []
    for name, shared in (("apart", "false"), ("once", "true")):
        settings = {"temperature": 0.9, "max_completion_length": 24, "share_prompts": shared} | options
        found.append(batch_and_gradients(make_trainer(output=tmp_path / name, **settings), 2))
        assert bool(passes) == (name == "once")
    (apart, loss, gradients), (once, other_loss, others) = found
    assert torch.equal(apart["completion_ids"], once["completion_ids"])
    assert torch.equal(apart["advantages"], once["advantages"])
    assert [each["reward"] for each in rollouts_in(tmp_path / "apart")] == [
        each["reward"] for each in rollouts_in(tmp_path / "once")
    ]
    kept = apart["completion_mask"] == 1
    for key in ("ref_per_token_logps", "old_per_token_logps"):
        assert (key in apart) == (key in once)
        if key in apart:
            assert torch.allclose(apart[key][kept], once[key][kept], atol=1e-5)
    assert torch.allclose(loss, other_loss, atol=1e-6)
    assert gradients.keys() == others.keys()
    assert all(torch.allclose(gradients[name], others[name], atol=1e-6) for name in gradients)
    assert max(float(each.abs().max()) for each in gradients.values()) > 1e-3


def test_a_shuffled_batch_in_parts_gives_the_gradients_of_the_whole(make_trainer):
    """As in TRL: rows in any order, and a group split over two accumulation steps."""
    trainer = make_trainer(max_completion_length=16, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    batch, _, whole = batch_and_gradients(trainer, 2)
    assert batch["places"].tolist() == [0] * 4 + [1] * 4
    order = torch.tensor([5, 0, 3, 6, 1, 7, 2, 4])
    patches = batch["pixel_values"].split(batch["image_grid_thw"].prod(dim=1).tolist())
    totals = {name: torch.zeros_like(each) for name, each in whole.items()}
    for rows in order.split(4):
        part = {
            name: value[rows] if isinstance(value, torch.Tensor) and value.ndim and name != "pixel_values" else value
            for name, value in batch.items()
        }
        part["pixel_values"] = torch.cat([patches[row] for row in rows])
        part["num_images"] = [1] * 4
        for name, each in gradients_of(trainer, part)[1].items():
            totals[name] += each
    assert all(torch.allclose(whole[name], totals[name], atol=1e-6) for name in whole)


def test_rows_without_spread_are_not_run_through_the_model(make_trainer, monkeypatch):
    def by_prompt(items):
        return [Judged(0.5 if row_of(item) == "r1" else float(place)) for place, item in enumerate(items)]

    trainer = make_trainer(by_prompt, zero_spread="skip")
    scored = []
    score = Batch.score
    monkeypatch.setattr(Batch, "score", lambda self, model, rows: scored.append(rows) or score(self, model, rows))
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    gradients_of(trainer, batch)
    assert scored == [[4, 5, 6, 7]] * 2  # the reference's pass and the loss
    assert batch["ref_per_token_logps"][:4].abs().sum() == 0


def test_a_loss_of_nothing_still_goes_backward(make_trainer):
    trainer = make_trainer(lambda items: [Judged(0.5)] * len(items), zero_spread="skip")
    _, loss, gradients = batch_and_gradients(trainer, 2)
    assert loss == 0
    assert all(each.abs().max() == 0 for each in gradients.values())


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"share_prompts": "false"}], ids=["dropout", "the recipe"])
def test_where_prompts_cannot_be_shared_each_row_has_its_own(make_trainer, passes, options):
    trainer = make_trainer(**options)
    batch, _, gradients = batch_and_gradients(trainer, 2)
    assert "places" not in batch
    assert not passes
    assert gradients


def test_where_activations_are_recomputed_the_loss_steps_aside_and_the_reference_does_not(make_trainer, passes):
    make_trainer(activation_checkpointing="true", max_steps=2).train()
    assert len(passes) == 2  # steps


LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
MODELS = {
    "grouped queries": lambda: LlamaForCausalLM(LlamaConfig(**COMMON)),
    "sliding windows": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**COMMON, sliding_window=6, layer_types=LAYERS)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_text_models_score_and_sample_the_same(name, kernel):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    model.set_attn_implementation(kernel)
    assert can_share(model)
    prompts = torch.randint(2, 64, (2, 9))
    mask = torch.ones_like(prompts)
    mask[0, :3] = 0
    places = [0, 0, 0, 1, 1]
    options = {"max_new_tokens": 7, "do_sample": True, "top_k": 0, "temperature": 1.3, "pad_token_id": 0}
    config = model.generation_config.__class__(**options)
    torch.manual_seed(1)
    apart = model.generate(input_ids=prompts[places], attention_mask=mask[places], generation_config=config)
    torch.manual_seed(1)
    with prompts_run_once(model, places):
        once = model.generate(input_ids=prompts, attention_mask=mask, generation_config=config)
    assert torch.equal(apart, once)
    assert "generate" not in vars(model)

    lengths = [7, 2, 5, 0, 4]
    ends = (torch.arange(7) < torch.tensor(lengths).unsqueeze(1)).long()
    whole_mask = torch.cat([mask[places], ends], dim=1)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    labels = apart.masked_fill(whole_mask == 0, -100)
    labels[:, :9] = -100
    expected = model(input_ids=apart, attention_mask=whole_mask, labels=labels, fused_lm_head=True)
    batch = Batch(apart, whole_mask, 7, places, {})
    log_probs, entropy = score_completions(model, batch, 2, with_entropy=True)
    assert torch.allclose(log_probs, expected.log_probs[:, -7:], atol=1e-5)
    assert torch.allclose(entropy, expected.entropy[:, -7:] * ends, atol=1e-5)


def test_only_equal_neighbours_are_one_prompt():
    assert places_of([["a"], ["a"], ["b"], ["a"], ["a"]]) == [0, 0, 1, 2, 2]
