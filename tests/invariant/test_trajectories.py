"""Trajectories that must agree: a batch and its parts, accumulated or on two processes; resumed or uninterrupted.

A trajectory is the loss of each step and the final adapter. The order of float32 additions differs, so trajectories
agree within tolerances for the largest and the mean deviation. A resumed run has the same order and agrees bit for bit.
"""

import json

import pytest
import torch
from safetensors.torch import load_file

from stages import dpo, sft
from stages.errors import StageError
from stages.progress import ProgressCallback
from tests.processes import run_ranks
from tests.stages.conftest import shared_store, short_flags

NUM_STEPS = 6  # twelve rows, eight per step: in the fourth epoch
MAX_LOSS, MEAN_LOSS = 1e-4, 3e-5
MAX_WEIGHT, MEAN_WEIGHT = 2e-3, 2e-5
"""Deviations of adapter weights, which change by about 1e-2 per step: Adam amplifies gradients near zero."""

RUN = {"sft": sft.run, "dpo": dpo.run}
STEPS = {"max_steps": NUM_STEPS, "save_steps": 2, "preflight": "false"}
WHOLE = {"per_device_train_batch_size": 8}
PARTS = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def adapter(folder):
    tensors = load_file(folder / "adapter" / "adapter_model.safetensors")
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def assert_same_trajectory(one, other, num_steps=NUM_STEPS):
    assert len(losses(one)) == len(losses(other)) == num_steps
    deviation = (torch.tensor(losses(one)) - torch.tensor(losses(other))).abs()
    assert deviation.max() <= MAX_LOSS, deviation
    assert deviation.mean() <= MEAN_LOSS
    deviation = (adapter(one) - adapter(other)).abs()
    assert deviation.max() <= MAX_WEIGHT
    assert deviation.mean() <= MEAN_WEIGHT


@pytest.fixture
def parent(parse):
    return sft.run(*parse("sft", max_steps=2, preflight="false"))


def train(stage, parse, parent, output, **options):
    more = {} if stage == "sft" else {"parent": parent}
    return RUN[stage](*parse(stage, output=output, **STEPS, **options, **more))


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_batch_is_the_sum_of_its_parts(stage, parse, parent, tmp_path):
    whole = train(stage, parse, parent, tmp_path / "whole", **WHOLE)
    parts = train(stage, parse, parent, tmp_path / "parts", **PARTS)
    assert_same_trajectory(whole, parts)
    assert len(set(losses(whole))) == NUM_STEPS  # something moved


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_two_processes_are_one_that_accumulates_twice(stage, parse, parent, tmp_path, request):
    """Over gloo. The rows fill the steps; otherwise processes would get some rows twice to have equally many."""
    options = {"max_rows": 8}
    one = train(stage, parse, parent, tmp_path / "one", **options, **PARTS)
    paths = {"model": request.getfixturevalue("tiny_model_path"), "data": tmp_path / "data" / f"{stage}.jsonl"}
    paths |= {"output": tmp_path / "two"} | ({} if stage == "sft" else {"parent": parent})
    flags = short_flags(stage, **paths, **STEPS, **options, per_device_train_batch_size=4)
    done = run_ranks(["-m", "stages", stage, *flags], env=shared_store())
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert_same_trajectory(one, tmp_path / "two")


def test_parts_resumed_are_parts_uninterrupted(parse, parent, tmp_path, monkeypatch):
    whole = train("sft", parse, parent, tmp_path / "whole", **PARTS)

    def on_step_end(_self, _args, state, _control, **_):
        if state.global_step == 5:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressCallback, "on_step_end", on_step_end)
    with pytest.raises(SystemExit):
        train("sft", parse, parent, tmp_path / "broken", **PARTS)
    broken = train("sft", parse, parent, tmp_path / "broken", **PARTS)
    assert torch.equal(adapter(whole), adapter(broken))
    assert losses(whole) == losses(broken)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_whole_that_ran_out_of_memory_is_finished_in_parts(stage, parse, parent, tmp_path, monkeypatch):
    whole = train(stage, parse, parent, tmp_path / "whole", **WHOLE)

    def on_step_end(_self, _args, state, _control, **_):
        if state.global_step == 5:
            monkeypatch.undo()
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ProgressCallback, "on_step_end", on_step_end)
    with pytest.raises(StageError, match="continues from step 4"):
        train(stage, parse, parent, tmp_path / "broken", **WHOLE)
    broken = train(stage, parse, parent, tmp_path / "broken", **PARTS)
    assert_same_trajectory(whole, broken)
