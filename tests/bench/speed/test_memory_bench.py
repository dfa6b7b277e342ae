"""Measures how much memory each option saves, with `tritrace preflight --measure`: `make bench`.

A peak is the growth of a process's resident memory over two steps on the CPU, with SmolLM2-135M's shape and random
weights, or with a model of the pocket model's size for options about pictures. Plain `pytest` measures only the latter.
TRL has no key for chunked logits; they are measured on the head of a language model, with TRL's loss and with
transformers' loss.
"""

import multiprocessing
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from data.building.build import sft_rows
from data.files.json_lines import write_rows
from data.pocket.described import described
from data.pocket.world import generate
from data.prompts import prompt_messages, rollout_prompt
from protocol import Plan

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "stages", "preflight", "--measure"]
MEASURED = re.compile(r"two steps of the longest row.*?([\d.,]+) (GiB)", re.DOTALL)
OPTIMISER = re.compile(r"optimiser\s+([\d.,]+) (MiB)")
VOCABULARY = 151936
"""Qwen2.5-VL's."""
COMMON = {"dtype": "float32", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}


@dataclass(frozen=True, slots=True)
class Habit:
    """Flags of a stage without an option and with it."""

    name: str
    stage: str
    without: dict[str, object]
    with_it: dict[str, object]
    read: re.Pattern[str] = MEASURED
    needs_pictures: bool = False
    common: dict[str, object] = field(default_factory=dict)


HABITS = (
    Habit("bounded pictures", "sft", {"min_pixels": 200704}, {"max_pixels": 7056}, needs_pictures=True),
    Habit("gradient checkpointing", "sft", {}, {"activation_checkpointing": "true"}),
    Habit("accumulation", "sft", {}, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}),
    Habit("NF4 base", "sft", {}, {"load_in_4bit": "true"}, common={"activation_checkpointing": "true"}),
    Habit("8-bit optimiser", "sft", {"optim": "adamw_torch"}, {"optim": "adamw_8bit"}, read=OPTIMISER),
    Habit(
        "training batch apart from generation batch",
        "grpo",
        {"per_device_train_batch_size": 16},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4},
        common={"max_completion_length": 64},
    ),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Write rows without pictures: long rows for SFT, prompts of normal length for GRPO."""
    folder = tmp_path_factory.mktemp("told")
    queries = [described(item).query for item in generate("train", 40, seed=0)]
    words = " ".join(query.text for query in queries[:3])
    rows = [
        replace(row, prompt=prompt_messages(words, Plan.from_json(row.plan), "compact"))
        for row in sft_rows(queries[:8], "compact")
    ]
    write_rows(folder / "sft.jsonl", rows)
    write_rows(folder / "grpo.jsonl", [rollout_prompt(query, "compact") for query in queries])
    return folder


def measured(habit, chosen, model, data, output):
    """Return the result of `tritrace preflight --measure`, in GiB or MiB."""
    flags = COMMON | habit.common | chosen | {"data": data / f"{habit.stage}.jsonl", "output": output}
    config = ROOT / "stages" / "recipes" / "smollm2-135m" / f"{habit.stage}.yaml"
    command = [*COMMAND, "--config", config, *model, *(f"--{name}={value}" for name, value in flags.items())]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    value, unit = habit.read.search(done.stdout).groups()
    return float(value.replace(",", "")), unit


@pytest.mark.benchmark(group="memory habits")
def test_what_each_habit_saves(benchmark, told, world, tmp_path):
    habits = HABITS[:1] if benchmark.disabled else HABITS

    def without_and_with():
        for habit in habits:
            small = habit.needs_pictures
            model = ["--model", world / "model"] if small else ["--shape", "smollm2-135m"]
            data = world / "data" if small else told
            found = [measured(habit, chosen, model, data, tmp_path) for chosen in (habit.without, habit.with_it)]
            (without, unit), (with_it, _) = found
            ratio = with_it / without
            sys.stdout.write(f"\n{habit.name}: {without} {unit} without, {with_it} with, ratio {ratio:.2f}\n")
            sys.stdout.flush()
            yield ratio

    ratios = benchmark.pedantic(lambda: list(without_and_with()), rounds=1)
    assert len(ratios) == len(habits)
    assert all(ratio < 1 for ratio in ratios)


def loss_and_growth(num_rows, num_tokens, vocabulary, is_chunked):
    """Return the loss of random rows, and the memory of loss and gradient in GiB; only the head is large."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, vocab_size=vocabulary
    )
    model = LlamaForCausalLM(config)
    if is_chunked:
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    words = torch.randint(vocabulary, (num_rows, num_tokens))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loss = model(words, labels=words, **({"fused_lm_head": True} if is_chunked else {})).loss
    loss.backward()
    return loss.item(), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


@pytest.mark.benchmark(group="memory habits")
def test_what_chunked_logits_save(benchmark):
    rows, tokens, words = (4, 256, 32768) if benchmark.disabled else (4, 1024, VOCABULARY)

    def whole_and_chunked():
        for is_chunked in (False, True):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                yield pool.apply(loss_and_growth, (rows, tokens, words, is_chunked))

    found = benchmark.pedantic(lambda: list(whole_and_chunked()), rounds=1)
    (loss, whole), (chunked_loss, chunked) = found
    ratio = chunked / whole
    sys.stdout.write(f"\nchunked logits: {whole:.2f} GiB without, {chunked:.2f} with, ratio {ratio:.2f}\n")
    assert chunked_loss == pytest.approx(loss, rel=1e-4)
    assert benchmark.disabled or ratio < 1
