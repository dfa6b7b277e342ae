"""A row gives the same result in a batch and alone: padding, positions and pictures of other rows have no effect.

The pictures differ in size and number, and the tokenizers pad on the right, like published ones. Numbers are compared
in float32; single rows are rendered here without TRL.
"""

import torch
from trl.data_utils import prepare_multimodal_messages

from data.files.json_lines import read_rows
from data.pictures.images import open_image
from data.rows import RolloutPrompt, SFTRow
from eval.policies.checkpoint import HFPolicy

TOLERANCE = 2e-5


def alone(model, processor, row, root, completion):
    """Return the log-probabilities of a completion's tokens after a row's prompt."""
    images = [open_image(source, root) for source in row.images]
    messages = list(row.prompt)
    options = {}
    if hasattr(processor, "tokenizer"):
        messages = prepare_multimodal_messages(messages, images=images)
        options = {"images": [images]} if images else {}
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], return_tensors="pt", add_special_tokens=False, **options)
    prompt = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([completion])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in inputs:
            inputs[name] = torch.nn.functional.pad(inputs[name], (0, len(completion)))
    logits = model(**inputs).logits[0, prompt - 1 : -1].log_softmax(dim=-1)
    return logits.gather(1, torch.tensor(completion)[:, None])[:, 0]


@torch.no_grad()
def test_grpo_scores_a_batch_as_its_rows_alone(case, trainer_of):
    rows = [row for row in read_rows(case.data / "grpo.jsonl", RolloutPrompt) if row.images or not case.sees]
    batch_size = 2 * len(rows[:4])
    trainer = trainer_of(case, "grpo", rows[:4], per_device_train_batch_size=batch_size)
    inputs = [trainer.train_dataset[place] for place in range(4) for _ in range(2)]
    batch = trainer._generate_and_score_completions(inputs)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    names = ("pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "num_tiles", "image_sizes")
    fields = {name: batch[name] for name in (*names, "token_type_ids", "mm_token_type_ids") if name in batch}
    width = batch["completion_ids"].shape[1]
    found, *_ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width, 3, **fields)
    for place in range(batch_size):
        kept = batch["completion_mask"][place].bool()
        completion = batch["completion_ids"][place][kept].tolist()
        expected = alone(trainer.model, trainer.processing_class, rows[place // 2], case.data, completion)
        assert (found[place][kept] - expected).abs().max() < TOLERANCE, f"row {place}"


@torch.no_grad()
def test_sft_learns_a_batch_as_its_rows_alone(case, trainer_of):
    rows = read_rows(case.data / "sft.jsonl", SFTRow)
    trainer = trainer_of(case, "sft", rows)
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(len(rows))])
    labels = batch.pop("labels")
    scores = trainer.model(**batch).logits[:, :-1].log_softmax(dim=-1)
    for place, row in enumerate(rows):
        learnt = labels[place, 1:] != -100
        completion = labels[place, 1:][learnt].tolist()
        found = scores[place][learnt].gather(1, torch.tensor(completion)[:, None])[:, 0]
        expected = alone(trainer.model, trainer.processing_class, row, case.data, completion)
        assert (found - expected).abs().max() < TOLERANCE, row.id


def test_a_policy_answers_a_batch_as_its_prompts_alone(case):
    prompts = read_rows(case.data / "grpo.jsonl", RolloutPrompt)
    together = HFPolicy(case.model, batch_size=8, max_new_tokens=6, dtype="float32", label="")
    found = [each.text for each in together.respond(prompts, case.data)]
    together.batch_size = 1
    assert found == [each.text for each in together.respond(prompts, case.data)]
