"""Compares a step of each stage with a step of TRL's own trainer: `make bench`. Plain `pytest` is short.

All trainers use the same model (the pocket model's size, random weights), adapter, rows, batch and machine. They take
turns step by step, so that other work on the machine affects all of them equally. Our trainers do all the work of a
stage: progress, tracking in MLflow, and for GRPO the default reward with the rule judge and the record of rollouts.
TRL's trainer has a constant reward. All completions of GRPO have the full length (`min_new_tokens`), because otherwise
the lengths would decide the time. The medians are printed, and the median of the ratios to TRL's step of the same turn
with its quartiles. The goals are at most 1.03 for SFT and DPO, 1.05 for GRPO without merging, and below 1 with merging.
For GRPO, the speed-up of computing a prompt once per group is also printed; the goal is 1.6.

Wall-clock seconds and processor seconds (of all threads) are printed. On a busy machine only processor seconds are
stable, and only if waiting threads do not spin: `make bench` sets `OMP_WAIT_POLICY=PASSIVE`.
"""

import statistics
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from transformers import PrinterCallback, TrainerCallback

from data.files.json_lines import read_rows
from eval.models.loading import quiet_libraries
from stages import dpo, grpo, sft
from stages.arguments.stage import parse_stage
from stages.inputs.columns import to_dataset
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import Job, Setup
from stages.progress import ProgressCallback
from stages.provenance.manifest import Manifest
from stages.rollouts.reward import build_reward
from stages.spec import SPECS
from stages.tracking import store
from stages.tracking.run import TrackingCallback, tracked
from tests.bench.bare import build_bare

BARE = "TRL"
UNMERGED = "ours, unmerged"
UNSHARED = "ours, prompts apart"
SHARED = "ours"
VARIANTS = {"sft": (BARE, "ours"), "dpo": (BARE, "ours"), "grpo": (BARE, UNMERGED, UNSHARED, SHARED)}
BUILDERS = {"sft": sft.build_trainer, "dpo": dpo.build_trainer, "grpo": grpo.build_trainer}
NUM_STEPS = {"sft": 41, "dpo": 41, "grpo": 21}
SHORT = {"per_device_train_batch_size": 8, "max_completion_length": 8, "num_generations": 4}
"""Steps of GRPO if nothing is measured."""


class Turns:
    """Runs trainers in separate threads, lets them take turns step by step, and times the steps."""

    def __init__(self, count):
        self.places = [threading.Semaphore(int(place == 0)) for place in range(count)]
        self.seconds = [[] for _ in range(count)]
        """Wall-clock and processor seconds of each step."""
        self.errors = []

    def of(self, place):
        return _Turn(self, place)


class _Turn(TrainerCallback):
    def __init__(self, turns, place):
        self.turns, self.place, self.began = turns, place, (0.0, 0.0)

    def wait(self):
        self.turns.places[self.place].acquire()
        self.began = time.perf_counter(), time.process_time()

    def on_train_begin(self, *_, **__):
        self.wait()

    def on_step_end(self, _args, state, _control, **__):
        clock, processors = self.began
        self.turns.seconds[self.place].append((time.perf_counter() - clock, time.process_time() - processors))
        self.turns.places[(self.place + 1) % len(self.turns.places)].release()
        if state.global_step < state.max_steps:
            self.wait()


def trainer_of(stage, variant, folder, options, run):
    """Build one of the trainers on its own model."""
    flags = {
        "config": Path(__file__).parents[3] / "stages" / "recipes" / "pocket" / f"{stage}.yaml",
        "model": folder / "model",
        "data": folder / "data" / f"{stage}.jsonl",
        "output": folder / stage / variant.replace(", ", "-"),
    }
    if stage == "grpo":
        flags |= {"merge_for_sampling": variant != UNMERGED, "share_prompts": variant == SHARED}
    arguments, config = parse_stage(stage, [f"--{name}={value}" for name, value in (flags | options).items()])
    config.save_strategy = "no"
    if stage == "grpo":
        config.generation_kwargs = {"min_new_tokens": config.max_completion_length}
    # Plain TRL mixes modalities.
    rows = [row for row in read_rows(Path(arguments.data), SPECS[stage].row_type) if row.images]
    model, processor = load_for_training(arguments, config.seed)
    dataset = to_dataset(rows, folder / "data")
    if variant == BARE:
        trainer = build_bare(stage, config, model, processor, dataset)
    else:
        Path(arguments.output).mkdir(parents=True, exist_ok=True)
        manifest = Manifest(stage=stage, model="", model_revision="", parent=None, recipe={}, data={}, seed=0)
        reward = None
        if stage == "grpo":
            reward = grpo.guard(build_reward(arguments.reward, weights=arguments), arguments, config)
        job = Job(stage, arguments, config, rows, manifest, None, reward)
        trainer = BUILDERS[stage](Setup(job, model, processor, dataset, run))
        trainer.add_callback(ProgressCallback(stage))
        trainer.add_callback(TrackingCallback(run))
    trainer.remove_callback(PrinterCallback)
    return trainer


def steps_in_turns(trainers):
    """Train all trainers step by step in turn, and return their seconds per step, without the first step."""
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


@pytest.mark.parametrize("stage", list(VARIANTS))
@pytest.mark.benchmark(group="steps")
def test_step_time(stage, benchmark, world, monkeypatch):
    is_short = benchmark.disabled
    monkeypatch.setattr(store, "LOCAL_ROOT", world / "tracking")
    options = {"max_steps": 3 if is_short else NUM_STEPS[stage]} | (SHORT if is_short and stage == "grpo" else {})
    with quiet_libraries(), tracked("bench", {}) as run:
        trainers = [trainer_of(stage, variant, world, options, run) for variant in VARIANTS[stage]]
        seconds = benchmark.pedantic(steps_in_turns, args=(trainers,), rounds=1)
    assert {len(each) for each in seconds} == {options["max_steps"] - 1}
    lines = [report(stage, benchmark.extra_info, dict(zip(VARIANTS[stage], seconds, strict=True)))]
    if stage == "grpo":
        times = [ratios(seconds[2], seconds[3], number) for number in (0, 1)]
        benchmark.extra_info["times as fast"] = times
        lines.append(
            f"grpo: prompts once over prompts apart {told(times[0])} times as fast, {told(times[1])} by processors"
        )
    sys.stdout.write("\n" + "\n".join(lines) + f"\n{len(seconds[0])} steps each, {torch.get_num_threads()} threads\n")


def ratios(own, other, number):
    """Return the quartiles of the ratios of steps in a turn; `number` is 0 for wall-clock, 1 for processor time."""
    return statistics.quantiles([one[number] / two[number] for one, two in zip(own, other, strict=True)], n=4)


def told(quartiles):
    low, middle, high = quartiles
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def report(stage, info, seconds):
    """Return the table of a stage's variants."""
    lines = []
    for variant, each in seconds.items():
        clock, processors = (statistics.median(step[number] for step in each) for number in (0, 1))
        ratio = ratios(each, seconds[BARE], 0), ratios(each, seconds[BARE], 1)
        info[variant] = {"median_s": clock, "median_processor_s": processors, "ratio": ratio}
        lines.append(
            f"{stage} {variant:<19} {clock:7.3f} s a step, ratio {told(ratio[0])}; "
            f"of processors {processors:7.3f} s, ratio {told(ratio[1])}"
        )
    return "\n".join(lines)
