"""The code of `make gpu-check`, on the CPU with the tiny model."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from data.building.build import Sizes, build_pocket
from stages.curriculum import read_curriculum
from stages.memory.shapes import shape_names
from tests import processes
from tests.bench import gpu_check
from tests.bench.gpu_check import TRAINERS, Case, markdown_of, measured
from tests.bench.gpu_plan import REAL, REHEARSAL, STAGES
from tests.conftest import REPOSITORY
from tests.stages.conftest import write_tiny_model

RECIPES = REPOSITORY / "stages" / "recipes"

SMALL = [
    "--dtype=float32",
    "--min_pixels=3136",
    "--max_pixels=3136",
    "--gradient_accumulation_steps=1",
    "--card_gib=null",
]
ROLLOUTS = ["--max_completion_length=8", "--num_generations=2", "--per_device_train_batch_size=2", "--save_steps=8"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_both_trainers_are_measured_beside_the_estimate(stage, tiny_world, tmp_path):
    model, data = tiny_world
    results = {}
    for trainer in TRAINERS:
        case = Case(str(RECIPES / "qwen2.5-vl-3b"), stage, trainer)
        flags = [*SMALL, *(ROLLOUTS if stage == "grpo" else [])]
        results[case] = json.loads(json.dumps(measured(case, model, data, tmp_path / trainer, *flags)))
    ours, bare = results.values()
    assert ours["estimate"] == bare["estimate"] > 0
    assert min(ours["peak"], ours["tokens_per_s"], bare["peak"], bare["tokens_per_s"]) > 0


def test_what_does_not_fit_is_a_line_of_the_table():
    found = {"estimate": 20.1, "peak": 19.53, "reserved": None, "tokens_per_s": 1234.5}
    results = {Case("x/a-24gib", "sft", "ours"): found, Case("x/a-24gib", "sft", "TRL"): "OutOfMemoryError: no"}
    closing = {"Pocket curriculum": "exit 0: as published", "Killed and resumed": "exit 0: equal"}
    lines = markdown_of(results, closing, device="a card").splitlines()
    assert lines[2] == "| a-24gib | sft | ours | 20.10 | 19.53 |  | 1,234 |"
    assert lines[3] == "| a-24gib | sft | TRL | OutOfMemoryError: no | | | |"
    assert {line.count("|") for line in lines[:4]} == {8}
    assert lines[-2:] == ["* Pocket curriculum: exit 0: as published.", "* Killed and resumed: exit 0: equal."]


@pytest.mark.slow
def test_the_whole_script_is_rehearsed_on_the_cpu(monkeypatch, capsys):
    """All of it, as `--rehearse` runs it, but for two stages; its processes have the libraries already."""
    ready = SimpleNamespace(run=processes.run, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(gpu_check, "subprocess", ready)
    monkeypatch.setattr(gpu_check, "STAGES", ("sft",))
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--rehearse"])
    gpu_check.main()
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("| tiny-24gib | sft |")]
    assert [line.split(" | ")[2] for line in lines] == ["TRL", "ours"]
    assert all(float(line.split(" | ")[4]) > 0 for line in lines)
    assert "* Pocket curriculum: exit 0: report: " in said
    assert "* Killed and resumed: exit 0: sft: 1 kills" in said
    assert said.rstrip().endswith("wrote runs/gpu-rehearsal.md")


def test_what_the_time_does_not_suffice_for_is_said():
    results, closing = gpu_check.run_all(replace(REHEARSAL, caps=(24, 16), minutes=0), time.monotonic())
    assert set(results.values()) == set(closing.values()) == {"not run: out of time"}
    assert len(results) == 2 * 3 * 2


def test_the_plan_for_a_gpu_fits_twelve_minutes_and_trains_the_curriculum_that_is_published():
    assert REAL.minutes == 12
    assert REAL.closing_minutes < REAL.minutes
    recipe = REAL.curriculum[-2]
    assert read_curriculum(recipe, ["--output", "x"]).is_published
    assert all(name in shape_names() for name in REAL.models)


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu-check")
    build_pocket(folder / "data", Sizes(sft=4, dpo=2, grpo=4, validation=0, test=0), seed=0)
    return write_tiny_model(folder / "model"), folder / "data"
