"""The path that `make gpu-check` takes on a GPU, on the CPU with the tiny model."""

import json
from io import StringIO

import pytest
from rich.console import Console

from data.build import Sizes, build_pocket
from tests.bench.gpu_check import STAGES, TRAINERS, Case, measured, table_of
from tests.stages.conftest import write_tiny_model

SMALL = [
    "--dtype=float32",
    "--min_pixels=3136",
    "--max_pixels=3136",
    "--gradient_accumulation_steps=1",
    "--card_gib=null",
]
ROLLOUTS = ["--max_completion_length=8", "--num_generations=2", "--per_device_train_batch_size=2"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_both_trainers_are_measured_beside_the_estimate(stage, tiny_world, tmp_path):
    model, data = tiny_world
    results = {}
    for trainer in TRAINERS:
        case = Case("qwen2.5-vl-3b", stage, trainer)
        flags = [*SMALL, *(ROLLOUTS if stage == "grpo" else [])]
        results[case] = json.loads(json.dumps(measured(case, model, data, tmp_path / trainer, *flags)))
    ours, bare = results.values()
    assert ours["estimate"] == bare["estimate"] > 0
    assert min(ours["peak"], ours["tokens_per_s"], bare["peak"], bare["tokens_per_s"]) > 0


def test_what_does_not_fit_is_a_line_of_the_table():
    found = {"estimate": 20.1, "peak": 19.53, "reserved": None, "tokens_per_s": 1234.5}
    console = Console(width=120, file=StringIO())
    console.print(table_of({Case("a", "sft", "ours"): found, Case("a", "sft", "TRL"): "OutOfMemoryError: no"}))
    text = console.file.getvalue()
    assert "19.53" in text
    assert "1,234" in text
    assert "OutOfMemoryError" in text


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu-check")
    build_pocket(folder / "data", Sizes(sft=4, dpo=2, grpo=4, validation=0, test=0), seed=0)
    return write_tiny_model(folder / "model"), folder / "data"
