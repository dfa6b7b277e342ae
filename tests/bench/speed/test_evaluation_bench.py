"""Compares an evaluation with a plain loop over `generate`: `make bench`. Plain `pytest` runs one round.

Both use the same model (the pocket model's size, random weights), held-out prompts, batches and machine, and run in
turns. Our evaluation also stores, judges and scores every response. Both give the same responses. The median of the
ratios of all turns is printed with its quartiles; the goal is at most 1.1.
"""

import statistics
import sys
import time

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.files.json_lines import read_rows
from data.pictures.images import open_image
from data.rows import RolloutPrompt
from eval.evaluation import evaluate
from eval.judges import RuleJudge
from eval.models.loading import quiet_libraries
from eval.policies.checkpoint import HFPolicy

BATCH_SIZE = 32
MAX_NEW_TOKENS = 96


def plain_loop(model, processor, prompts, folder):
    """Answer the prompts with a script that does not use this project."""
    texts = []
    for start in range(0, len(prompts), BATCH_SIZE):
        batch = prompts[start : start + BATCH_SIZE]
        conversations = [
            [
                {"role": "system", "content": system["content"]},
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": user["content"]}]},
            ]
            for system, user in (prompt.prompt for prompt in batch)
        ]
        inputs = processor(
            text=processor.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True),
            images=[[open_image(name, folder) for name in prompt.images] for prompt in batch],
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answers = output[:, inputs["input_ids"].shape[1] :]
        texts += processor.batch_decode(answers, skip_special_tokens=True)
    return texts


@pytest.mark.benchmark(group="an evaluation")
def test_evaluation_time(benchmark, world, tmp_path):
    num_turns = 1 if benchmark.disabled else 9
    folder = world / "data"
    prompts = read_rows(folder / "test.jsonl", RolloutPrompt)[: 4 if benchmark.disabled else 64]
    with quiet_libraries():
        model = AutoModelForImageTextToText.from_pretrained(world / "model").eval()
        processor = AutoProcessor.from_pretrained(world / "model")
        policy = HFPolicy(world / "model", batch_size=BATCH_SIZE, max_new_tokens=MAX_NEW_TOKENS, label="")

    def in_turns():
        seconds = []
        for turn in range(num_turns):
            started = time.perf_counter()
            texts = plain_loop(model, processor, prompts, folder)
            between = time.perf_counter()
            samples = evaluate(policy, prompts, folder, RuleJudge(), folder=tmp_path / str(turn), sampling={})
            seconds.append((between - started, time.perf_counter() - between))
            assert [sample.response for sample in samples] == texts
        return seconds

    seconds = benchmark.pedantic(in_turns, rounds=1)
    assert len(seconds) == num_turns
    if benchmark.disabled:
        return
    low, middle, high = statistics.quantiles([own / bare for bare, own in seconds], n=4)
    benchmark.extra_info["ratio"] = (low, middle, high)
    sys.stdout.write(
        f"\nevaluation {statistics.median(own for _, own in seconds):.2f} s for {len(prompts)} prompts, "
        f"ratio to a plain loop {middle:.3f} [{low:.3f}, {high:.3f}], {num_turns} turns\n"
    )
