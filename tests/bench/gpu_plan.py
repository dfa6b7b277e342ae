"""What `gpu_check.py` runs: on a GPU, and in a rehearsal of the very script on a CPU.

A rehearsal has a tiny model in the place of the real ones, and two steps a stage in the place of the pocket curriculum.
Its table has the form of the real one, and numbers that mean nothing.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.models.loading import load_config
from stages import grpo
from stages.curriculum import run_curriculum
from stages.fit.choice import fit
from stages.fit.model import find_model
from stages.fit.recipe_text import Places, recipe_files, write_recipes
from stages.fit.time import amounts_within
from stages.memory.shapes import shape_config
from tests.stages.conftest import longer_reward, write_tiny_model, write_tiny_rows

STAGES = ("sft", "dpo", "grpo")
KILLS = [sys.executable, "-m", "tests.stages.lifecycle.kills", "--kills", "1", "--stage", "sft"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, and on what."""

    models: tuple[str, ...]
    caps: tuple[int, ...]
    """GiB."""
    write_recipes: Callable[[str, int, Path], Path | None]
    """Writes a model's recipes for a cap into a folder, and returns their own; None where nothing fits."""
    config_of: Callable[[str], Any]
    """Returns a model's configuration."""
    curriculum: list[str]
    """The command of the pocket curriculum; the folder of the run is added."""
    kills: list[str]
    """The command that kills a stage and resumes it."""
    minutes: float
    """All together, from the start."""
    closing_minutes: float
    """Of these, kept for curriculum and kills."""


def write_fitted(model_name, gib, folder):
    """Write the recipes that `tritrace fit` finds."""
    found = fit(find_model(model_name), gib, STAGES)
    place = folder / f"{model_name}-{gib}gib"
    files = recipe_files(found, amounts_within(found.stages, None, None), Places(place.name, place.name))
    write_recipes(files, place)
    return place if found.stages else None


def write_small(model_name, gib, folder):
    """Write recipes of a tiny model, which name no card."""
    place = folder / f"{model_name}-{gib}gib"
    place.mkdir()
    shared = {"model": "m", "output": "o", "dtype": "float32", "min_pixels": 3136, "max_pixels": 3136}
    for stage in STAGES:
        batches = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
        if stage == "grpo":
            batches = {"per_device_train_batch_size": 2, "num_generations": 2, "max_completion_length": 8}
        (place / f"{stage}.yaml").write_text(yaml.safe_dump(shared | batches))
    return place


def small_config(_model_name):
    """Return the configuration of the tests' tiny model, with room for the words of the stand-in tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(str(write_tiny_model(Path(folder))))
    config.get_text_config().vocab_size = 1500
    return config


def small_curriculum(folder):
    """Run a curriculum of two steps a stage; GRPO is paid for length, which a model with random weights can vary."""
    model, rows = write_tiny_model(folder / "model"), write_tiny_rows(folder / "data")
    shutil.copy(rows / "grpo.jsonl", rows / "validation.jsonl")
    grpo.build_reward = lambda *_, **__: longer_reward
    short = {"max_steps": 2, "save_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 4}
    groups = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 8}
    for stage in STAGES:
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump(short | (groups if stage == "grpo" else {})))
    names = {stage: f"{stage}.yaml" for stage in STAGES} | {"model": str(model), "data": str(rows)}
    evaluation = {"output": str(folder / "run"), "eval_max_new_tokens": 4, "judge_max_unscored": 1.0}
    (folder / "curriculum.yaml").write_text(yaml.safe_dump(names | evaluation))
    run_curriculum(folder / "curriculum.yaml", [])


REAL = Plan(
    models=("qwen2.5-vl-3b", "qwen3.5-4b"),
    caps=(24, 16),
    write_recipes=write_fitted,
    config_of=shape_config,
    curriculum=[sys.executable, "-m", "stages", "curriculum", "stages/recipes/pocket/curriculum.yaml", "--output"],
    kills=KILLS,
    minutes=12,
    closing_minutes=5,
)
REHEARSAL = Plan(
    models=("tiny",),
    caps=(24,),
    write_recipes=write_small,
    config_of=small_config,
    curriculum=[sys.executable, "-m", "tests.bench.gpu_plan"],
    kills=KILLS,
    minutes=30,
    closing_minutes=10,
)

if __name__ == "__main__":
    small_curriculum(Path(sys.argv[1]))
