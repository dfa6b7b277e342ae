"""A step of our GRPO beside one of TRL's own trainer with a constant reward: `make bench`. A plain `pytest` is short.

Same model (the pocket model's size, random weights), adapter, prompts, batch and machine, in one run: the trainers take
turns step by step, so that whatever else the machine does falls on all of them alike. All completions have the full
length (`min_new_tokens`), since the lengths that a policy chooses would decide the time. Ours has the default reward
with the rule judge, the record of rollouts and tracking in MLflow. Printed are medians, and the median of the ratios to
TRL's step of the same turn with its quartiles; the aims are at most 1.05 unmerged and below 1 merged.
"""

import copy
import statistics
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from data.build import Sizes, build_pocket
from data.files import read_rows
from data.rows import RolloutPrompt, SFTRow
from eval.models import quiet_libraries
from stages import store
from stages.arguments import parse_stage
from stages.columns import to_dataset
from stages.grpo import build_trainer
from stages.loading import load_for_training
from stages.manifest import Manifest
from stages.pocket.model import build_model, build_processor
from stages.pocket.tokenizer import train_tokenizer
from stages.rewards import build_reward
from stages.tracking import tracked
from stages.training import Job, Setup

VARIANTS = ("TRL, constant reward", "ours, unmerged", "ours, merged")


class Turns:
    """Lets trainers in threads of their own take one step each in turn, and times the steps."""

    def __init__(self, count):
        self.places = [threading.Semaphore(int(place == 0)) for place in range(count)]
        self.seconds = [[] for _ in range(count)]
        self.errors = []

    def of(self, place):
        return _Turn(self, place)


class _Turn(TrainerCallback):
    def __init__(self, turns, place):
        self.turns, self.place, self.began = turns, place, 0.0

    def wait(self):
        self.turns.places[self.place].acquire()
        self.began = time.perf_counter()

    def on_train_begin(self, *_, **__):
        self.wait()

    def on_step_end(self, _args, state, _control, **__):
        self.turns.seconds[self.place].append(time.perf_counter() - self.began)
        self.turns.places[(self.place + 1) % len(self.turns.places)].release()
        if state.global_step < state.max_steps:
            self.wait()


def constant(*, completions, **_):
    return [0.5] * len(completions)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Rows of the pocket world and a model of the pocket model's size."""
    folder = tmp_path_factory.mktemp("bench")
    build_pocket(folder / "data", Sizes(sft=60, dpo=0, grpo=100, validation=0, test=0), seed=0)
    rows = read_rows(folder / "data" / "sft.jsonl", SFTRow)
    tokenizer = train_tokenizer([text[0]["content"] for row in rows for text in (row.prompt, row.completion)])
    build_model(tokenizer, seed=0).save_pretrained(folder / "model")
    build_processor(tokenizer).save_pretrained(folder / "model")
    return folder


def trainer_of(variant, folder, options, run):
    """Build one of the trainers on a model of its own."""
    recipe = Path(__file__).parents[2] / "stages" / "recipes" / "pocket" / "grpo.yaml"
    flags = {
        "config": recipe,
        "model": folder / "model",
        "data": folder / "data" / "grpo.jsonl",
        "output": folder / variant.replace(" ", "-").replace(",", ""),
        "merge_for_sampling": variant == "ours, merged",
    }
    arguments, config = parse_stage("grpo", [f"--{name}={value}" for name, value in (flags | options).items()])
    config.save_strategy, config.generation_kwargs = "no", {"min_new_tokens": config.max_completion_length}
    rows = [row for row in read_rows(Path(arguments.data), RolloutPrompt) if row.images]  # bare TRL mixes modalities
    model, processor = load_for_training(arguments, config.seed)
    dataset = to_dataset(rows, folder / "data")
    if variant.startswith("TRL"):
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=[constant],
            args=copy.deepcopy(config),
            train_dataset=dataset,
            processing_class=processor,
        )
    else:
        Path(arguments.output).mkdir(exist_ok=True)
        manifest = Manifest(stage="grpo", model="", model_revision="", parent=None, recipe={}, data={}, seed=0)
        job = Job("grpo", arguments, config, rows, manifest, None, build_reward("tritrace", weights=arguments))
        trainer = build_trainer(Setup(job, model, processor, dataset, run))
    trainer.remove_callback(PrinterCallback)
    return trainer


def steps_in_turns(trainers):
    """Train all trainers, a step each in turn, and return their seconds a step without the first."""
    turns = Turns(len(trainers))

    def train(trainer, place):
        trainer.add_callback(turns.of(place))
        try:
            trainer.train()
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            turns.errors.append(error)
            for semaphore in turns.places:
                semaphore.release(1000)

    threads = [threading.Thread(target=train, args=(each, place)) for place, each in enumerate(trainers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if turns.errors:
        raise turns.errors[0]
    return [seconds[1:] for seconds in turns.seconds]


@pytest.mark.benchmark(group="a step of GRPO")
def test_step_time(benchmark, world, monkeypatch):
    is_short = benchmark.disabled
    monkeypatch.setattr(store, "LOCAL_ROOT", world / "tracking")
    options = {"max_steps": 3 if is_short else 21}
    if is_short:
        options |= {"per_device_train_batch_size": 8, "max_completion_length": 8, "num_generations": 4}
    with quiet_libraries(), tracked("bench", {}) as run:
        trainers = [trainer_of(variant, world, options, run) for variant in VARIANTS]
        seconds = benchmark.pedantic(steps_in_turns, args=(trainers,), rounds=1)
    assert {len(each) for each in seconds} == {options["max_steps"] - 1}
    lines = []
    for variant, each in zip(VARIANTS, seconds, strict=True):
        ratios = [own / bare for own, bare in zip(each, seconds[0], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        benchmark.extra_info[variant] = {"median_s": statistics.median(each), "ratio": (low, middle, high)}
        lines.append(
            f"{variant:<22} {statistics.median(each):7.3f} s a step, ratio {middle:.3f} [{low:.3f}, {high:.3f}]"
        )
    sys.stdout.write("\n" + "\n".join(lines) + f"\n{len(seconds[0])} steps each, {torch.get_num_threads()} threads\n")
