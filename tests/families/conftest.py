"""Each family's tiny model and rows, written once per session."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PrinterCallback

from eval.models.loading import quiet_libraries
from eval.models.processors import load_processor
from stages import dpo, grpo, sft
from stages.arguments.stage import parse_stage
from stages.inputs.columns import to_dataset
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import Job, Setup
from stages.provenance.manifest import Manifest
from stages.tracking import store
from tests.families import models, rows
from tests.stages.conftest import longer_reward

STAGES = {"sft": sft.build_trainer, "dpo": dpo.build_trainer, "grpo": grpo.build_trainer}


@dataclass(frozen=True)
class Case:
    """A family under test."""

    name: str
    model: Path
    data: Path

    @property
    def sees(self) -> bool:
        return self.name != "qwen3-text"

    def processor(self, **options) -> Any:
        return load_processor(str(self.model), **options)

    def parse(self, stage: str, output: Path, **overrides):
        """Return the arguments of a stage of two steps; keywords override them."""
        options = {
            "model": self.model,
            "data": self.data / f"{stage}.jsonl",
            "output": output,
            "max_steps": 2,
            "save_steps": 2,
            "logging_steps": 1,
            "learning_rate": 1e-2,
            "warmup_steps": 0,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 1,
            "lora_r": 4,
        }
        if stage == "grpo":
            options |= {"num_generations": 2, "max_completion_length": 6, "steps_per_generation": 1}
        return parse_stage(stage, [f"--{name}={value}" for name, value in (options | overrides).items()])


@pytest.fixture(autouse=True)
def _one_thread_and_shared_store(tmp_path_factory, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "LOCAL_ROOT", tmp_path_factory.getbasetemp() / "tracking")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def case_of(tmp_path_factory):
    """Return a family's case by its name; its files stay for the session."""
    made: dict[str, Case] = {}

    def find(name: str) -> Case:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            counts = rows.COUNTS if name != "qwen3-text" else (0,) * len(rows.COUNTS)
            made[name] = Case(
                name,
                models.write(name, rows.TEXTS, folder / "model"),
                rows.write(folder / "data", counts=counts),
            )
        return made[name]

    return find


@pytest.fixture(params=models.BUILDERS)
def case(request, case_of):
    """Return each family in turn."""
    return case_of(request.param)


@pytest.fixture(params=[name for name in models.BUILDERS if name != "qwen3-text"])
def seeing(request, case_of):
    """Return each family with vision, in turn."""
    return case_of(request.param)


@pytest.fixture
def trainer_of(tmp_path):
    """Return a stage's trainer with a new adapter that has an effect."""

    def build(case, stage, rows, **overrides):
        arguments, config = case.parse(stage, tmp_path / stage, **overrides)
        Path(arguments.output).mkdir()
        model, processor = load_for_training(arguments, config.seed)
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
        manifest = Manifest(stage=stage, model="", model_revision="", parent=None, recipe={}, data={}, seed=config.seed)
        job = Job(
            stage,
            arguments,
            config,
            rows,
            manifest,
            None,
            grpo.guard(longer_reward, arguments, config) if stage == "grpo" else None,
        )
        trainer = STAGES[stage](Setup(job, model, processor, to_dataset(rows, case.data)))
        trainer.remove_callback(PrinterCallback)
        trainer.current_gradient_accumulation_steps = 1
        return trainer

    with quiet_libraries():
        yield build
