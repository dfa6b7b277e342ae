"""The code of `make gpu-check`, on the CPU with the tiny model."""

import json
import sys

import pytest

from data.build import Sizes, build_pocket
from eval.models.loading import load_config
from tests.bench import gpu_check
from tests.bench.gpu_check import STAGES, TRAINERS, Case, markdown_of, measured
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
    lines = markdown_of(results, device="a card", resumed="exit 0: equal").splitlines()
    assert lines[2] == "| a-24gib | sft | ours | 20.10 | 19.53 |  | 1,234 |"
    assert lines[3] == "| a-24gib | sft | TRL | OutOfMemoryError: no | | | |"
    assert {line.count("|") for line in lines[:4]} == {8}
    assert "Killed and resumed: exit 0: equal." in lines[-1]


@pytest.fixture
def rehearsal(tiny_world, monkeypatch):
    """Run the script with a tiny model instead of a real one."""
    model, _ = tiny_world
    config = load_config(str(model))
    config.get_text_config().vocab_size = 1500  # the tokens of the stand-in tokenizer are its first ones

    def write_small(model_name, gib, folder):
        place = folder / f"{model_name}-{gib}gib"
        place.mkdir()
        flags = "".join(f"{flag.removeprefix('--').replace('=', ': ')}\n" for flag in SMALL)
        (place / "sft.yaml").write_text(f"model: m\noutput: o\n{flags}per_device_train_batch_size: 1\n")
        return place

    monkeypatch.setattr(gpu_check, "write_fitted", write_small)
    monkeypatch.setattr(gpu_check, "shape_config", lambda _: config)
    monkeypatch.setattr(gpu_check, "KILLED", [sys.executable, "-c", "print('1 of 1 equal')"])


@pytest.mark.slow
@pytest.mark.usefixtures("rehearsal")
def test_the_whole_script_is_rehearsed_on_the_cpu():
    results, resumed = gpu_check.run_all(["tiny"], [24], ["sft"], minutes=10)
    assert [(case.stage, case.trainer) for case in results] == [("sft", "TRL"), ("sft", "ours")]
    assert all(found["peak"] > 0 for found in results.values()), results
    assert resumed == "exit 0: 1 of 1 equal"


@pytest.mark.usefixtures("rehearsal")
def test_what_the_time_does_not_suffice_for_is_said():
    results, resumed = gpu_check.run_all(["tiny"], [24, 16], ["sft"], minutes=0)
    assert set(results.values()) == {resumed} == {"not run: out of time"}
    assert len(results) == 4


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu-check")
    build_pocket(folder / "data", Sizes(sft=4, dpo=2, grpo=4, validation=0, test=0), seed=0)
    return write_tiny_model(folder / "model"), folder / "data"
