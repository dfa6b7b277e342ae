"""Trains one adapter: loads, checks, trains, exports and signs it.

Every run checks the assumptions of a curriculum: something is trained, the reference policy is the adapter that the
stage started from, and training changed the adapter.
"""

import copy
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import PrinterCallback, TrainerState

from data.files.hashing import file_hashes
from data.rows import RolloutPrompt
from eval.models.adapters import adapter_hash
from protocol.errors import UserError
from stages.arguments.stage import StageArguments, TRLConfig
from stages.errors import StageError, UnchangedError
from stages.inputs.columns import escape_rows, to_dataset
from stages.inputs.lengths import check_lengths, model_limit
from stages.inputs.loading import adapter_weights, has_vision, is_same_adapter, load_for_training
from stages.lifecycle.resuming import SealCallback, step_of
from stages.memory.peak import peak_memory, start_counting
from stages.preflight.check import check_before_training
from stages.progress import ProgressCallback, say
from stages.provenance.manifest import Manifest
from stages.rollouts.guarded_reward import GuardedReward
from stages.rollouts.record.files import read_rollouts
from stages.rollouts.record.unchanged import why_unchanged
from stages.tracking.run import Run, TrackingCallback


@dataclass(frozen=True, slots=True)
class Job:
    """A stage to train."""

    stage: str
    arguments: StageArguments
    config: TRLConfig
    rows: list[Any]
    manifest: Manifest
    """The manifest with the fields that are known before training."""
    checkpoint: Path | None
    """Checkpoint to resume from; None starts from the beginning."""
    reward: GuardedReward | None = None
    """The reward of GRPO; None in the other stages."""

    @property
    def first_step(self) -> int:
        """The step at which training continues."""
        return step_of(self.checkpoint) if self.checkpoint else 0

    @property
    def output(self) -> Path:
        """The stage's folder."""
        return Path(self.arguments.output)

    @property
    def images_root(self) -> Path:
        """Image paths are relative to this folder."""
        return Path(self.arguments.data).parent


@dataclass(frozen=True, slots=True)
class Setup:
    """The inputs for building a stage's trainer."""

    job: Job
    model: Any
    """A `PeftModel` with the adapter to train."""
    processor: Any
    dataset: Dataset
    run: Run | None = None
    """The run in which the trainer tracks additional numbers; None disables this."""


BuildTrainer = Callable[[Setup], Any]


def train(job: Job, build_trainer: BuildTrainer, run: Run) -> None:
    """Train, export and sign a stage.

    Raises:
        StageError: the rows do not fit the model.
        UnchangedError: training changed nothing.
        RuntimeError: the reference policy is not the adapter that the stage started from.
    """
    if job.arguments.preflight:
        reward = None if job.reward is None else job.reward.reward
        check_before_training(job.stage, job.arguments, job.config, job.rows, reward)
    start_counting()
    model, processor = load_for_training(job.arguments, job.config.seed, trust_remote_code=job.config.trust_remote_code)
    if not job.arguments.preflight:
        _check_rows(job, model, processor)
    if job.arguments.special_tokens == "escape":
        job = replace(job, rows=escape_rows(job.rows, processor))
    start = adapter_weights(model)
    dataset = to_dataset(job.rows, job.images_root, job.arguments.picture_ground)
    trainer = built(Setup(job, model, processor, dataset, run), build_trainer)
    trainer.add_callback(ProgressCallback(job.stage))
    trainer.add_callback(TrackingCallback(run))
    trainer.add_callback(SealCallback())
    if job.stage != "sft":
        _check_reference(trainer.model, start)
    started = time.monotonic()
    _train(trainer, job)
    trained = adapter_weights(trainer.model)  # on all processes: under FSDP2 and ZeRO-3 each has a part
    if start.keys() != trained.keys():
        raise RuntimeError("after training the adapter has other weights, by their names, than before")
    if is_same_adapter(start, trained):
        raise UnchangedError(_unchanged(job))
    if trainer.is_world_process_zero():
        _finish(job, trainer, trained, time.monotonic() - started, run)


def built(setup: Setup, build_trainer: BuildTrainer) -> Any:
    """Return a stage's trainer, with the adapter in its original precision.

    TRL 1.16 casts the adapter of a quantised base to bfloat16, where updates of 1e-5 or less are mostly lost by
    rounding. TRL keeps no copy, so the original tensors are put back. The reference policy was copied from them.
    """
    before = [(weight, weight.data) for weight in setup.model.parameters() if weight.requires_grad]
    trainer = _built(build_trainer, setup)
    for weight, data in before:
        if weight.dtype != data.dtype:
            weight.data = data.to(weight.device)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _built(build_trainer: BuildTrainer, setup: Setup) -> Any:
    """Return the trainer; its own errors are reported as mistakes in the recipe."""
    try:
        return build_trainer(setup)
    except UserError:
        raise
    except (ValueError, ImportError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StageError(f"{setup.job.stage}: the trainer refuses this recipe: {reason}") from error


def _train(trainer: Any, job: Job) -> None:
    if job.checkpoint is None:
        trainer.train()
    elif 0 < job.config.max_steps <= job.first_step:
        # It was interrupted between its last checkpoint and its export. The trainer would train one step too many.
        trainer._load_from_checkpoint(str(job.checkpoint))  # noqa: SLF001
        trainer.state = TrainerState.load_from_json(str(job.checkpoint / "trainer_state.json"))
    else:
        trainer.train(resume_from_checkpoint=str(job.checkpoint))


def _check_rows(job: Job, model: Any, processor: Any) -> None:
    if any(row.images for row in job.rows) and not has_vision(processor):
        raise StageError(f"{job.arguments.data}: has images, but {job.arguments.model} is a text model")
    response = job.config.max_completion_length if isinstance(job.rows[0], RolloutPrompt) else 0
    limit = min(model_limit(model.config), job.arguments.max_tokens or sys.maxsize)
    check_lengths(job.rows, processor, limit - response, job.images_root)


def _check_reference(model: Any, start: dict[str, torch.Tensor]) -> None:
    """Check that the reference policy is the adapter that the stage started from."""
    if not is_same_adapter(start, adapter_weights(model, "ref")):
        raise RuntimeError("the reference policy is not the adapter that the stage started from")
    if any(parameter.requires_grad for name, parameter in model.named_parameters() if ".ref." in name):
        raise RuntimeError("the reference policy is not frozen")


def _unchanged(job: Job) -> str:
    rate, told = job.config.learning_rate, f"{job.stage}: training changed nothing: "
    if job.stage != "grpo":
        return f"{told}learning_rate is {rate:g}; set a higher one"
    reason = why_unchanged(read_rollouts(job.output), rate)
    seen = f"every rollout is in {job.output / 'rollouts.jsonl'}"
    return f"{told}{reason}\n{seen}; `tritrace report {job.output.parent}` shows the stages before"


def _finish(job: Job, trainer: Any, trained: dict[str, torch.Tensor], seconds: float, run: Run) -> None:
    _export(trainer, trained, job.output / "adapter")
    metrics: dict[str, float] = {}
    for entry in trainer.state.log_history:
        metrics |= {name: value for name, value in entry.items() if isinstance(value, (int, float))}
    peak = peak_memory()
    manifest = replace(
        job.manifest,
        adapter=adapter_hash(job.output),
        files=file_hashes(job.output / "adapter"),
        metrics=metrics,
        seconds=round(seconds, 1),
        resumed_from_step=job.first_step or None,
        peak_memory_bytes=peak.main,
        peak_reserved_bytes=peak.reserved,
        peak_host_bytes=peak.host,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    )
    manifest.write(job.output / "manifest.json")
    run.log_file(job.output / "manifest.json")
    run.log_metrics(peak.numbers(), step=trainer.state.global_step)
    say(f"{job.stage}: done in {seconds:.0f} s, at most {peak}, {job.output / 'adapter'}")


def _export(trainer: Any, trained: dict[str, torch.Tensor], folder: Path) -> None:
    """Write the trained adapter in PEFT's format, from gathered weights.

    PEFT's own function finds weights by the names of modules. FSDP's activation checkpointing changes these names, and
    PEFT 0.21 then writes a file without weights. TRL's function also saves the copy for the reference policy.
    """
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    config = copy.copy(trainer.accelerator.unwrap_model(trainer.model).peft_config["default"])
    config.inference_mode = True
    config.save_pretrained(str(draft))
    save_file(trained, draft / "adapter_model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
