"""Runs two real steps of a stage on its longest row, and measures their peak memory and their time.

On a GPU, the peak is the maximum that PyTorch allocated (and reserved). Elsewhere it is the growth of the process's
resident memory from before the model was loaded to its peak; Linux tracks this and lets a process reset it. The sizes
of permanent tensors (weights, adapters, optimiser) are summed up after the steps.
"""

import copy
import gc
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import GRPOConfig

from data.rows import TrainingRow
from eval.models.loading import quiet_libraries
from stages import dpo, grpo, sft
from stages.arguments.stage import GRPOArguments, StageArguments, TRLConfig
from stages.errors import StageError
from stages.inputs.columns import to_dataset
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import BuildTrainer, Job, Setup, built
from stages.provenance.manifest import Manifest
from stages.rollouts.reward import build_reward

BUILDERS: dict[str, BuildTrainer] = {"sft": sft.build_trainer, "dpo": dpo.build_trainer, "grpo": grpo.build_trainer}
NUM_STEPS = 2
"""The optimiser's state exists from the second step on."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The measured memory and time; memory in bytes."""

    peak: int
    reserved: int | None
    """Memory held by the GPU's allocator; None on the CPU."""
    parts: dict[str, int]
    """Bytes of the permanent tensors, by the names of `memory.resident_bytes`."""
    seconds: float
    """Time of the steps, with GRPO's sampling, and with everything that is slow only at first."""
    tokens: int
    """Tokens of the steps: all trained or sampled tokens, with prompts and pictures, as TRL counts them."""


class _Clock(TrainerCallback):
    """Sums up the time of the steps."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.began = _now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds += _now() - self.began


@quiet_libraries()
def measure(
    stage: str,
    arguments: StageArguments,
    config: TRLConfig,
    worst: TrainingRow,
    folder: Path,
    *,
    build_trainer: BuildTrainer | None = None,
    num_steps: int = NUM_STEPS,
) -> Measured:
    """Train two or more steps on copies of one row.

    Args:
        stage: sft, dpo or grpo.
        arguments: our options.
        config: TRL's options; not changed.
        worst: the longest row.
        folder: folder for files of the steps.
        build_trainer: builds another trainer than the stage's own, for comparison.
        num_steps: at least two; more steps measure the time more precisely.

    Raises:
        StageError: the peak cannot be measured here.
        ModelError: the model cannot be loaded.
    """
    rows = [replace(worst, id=f"{worst.id}-{number}") for number in range(_num_rows(config))]
    before = _reset()
    job = _job(stage, replace(arguments, output=str(folder)), _shortened(config, num_steps, folder), rows)
    model, processor = load_for_training(job.arguments, config.seed, trust_remote_code=config.trust_remote_code)
    setup = Setup(job, model, processor, to_dataset(rows, Path(arguments.data).parent, arguments.picture_ground))
    trainer = built(setup, build_trainer or BUILDERS[stage])
    clock = _Clock()
    trainer.add_callback(clock)
    trainer.train()
    counts = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
    peak, reserved = _read(before)
    parts = _parts(trainer.model, trainer.optimizer)
    return Measured(peak, reserved, parts, clock.seconds, round(counts[-1]))


def _shortened(config: TRLConfig, num_steps: int, folder: Path) -> TRLConfig:
    """Return a copy that ends after some steps and writes no checkpoints."""
    short = copy.deepcopy(config)
    short.max_steps, short.save_strategy, short.output_dir = num_steps, "no", str(folder / "checkpoints")
    short.logging_steps = 1
    if isinstance(short, GRPOConfig):
        # With random weights a response may end at once; in the worst case no response ends.
        least = {"min_new_tokens": short.max_completion_length}
        short.generation_kwargs = (short.generation_kwargs or {}) | least
    return short


def _job(stage: str, arguments: StageArguments, config: TRLConfig, rows: list[TrainingRow]) -> Job:
    manifest = Manifest(
        stage=stage, model=arguments.model, model_revision="", parent=None, recipe={}, data={}, seed=config.seed
    )
    reward = None
    if isinstance(arguments, GRPOArguments) and isinstance(config, GRPOConfig):
        reward = grpo.guard(build_reward(arguments.reward, weights=arguments), arguments, config)
    return Job(stage, arguments, config, rows, manifest, None, reward)


def _num_rows(config: Any) -> int:
    prompts = getattr(config, "generation_batch_size", 0)
    return int(max(prompts, config.per_device_train_batch_size * config.gradient_accumulation_steps))


def _reset() -> int:
    """Reset the peak, and return the memory in use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return 0
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError as error:
        raise StageError("--measure: without a GPU this needs Linux, which tracks the peak of a process") from error
    return _status("VmRSS")


def _read(before: int) -> tuple[int, int | None]:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated()), int(torch.cuda.max_memory_reserved())
    return _status("VmHWM") - before, None


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _parts(model: Any, optimizer: Any) -> dict[str, int]:
    """Return the bytes of a trained model's tensors, and of its optimiser's moments."""
    by_part: dict[str, list[torch.Tensor]] = {"weights": [], "adapter": [], "reference adapter": []}
    for name, parameter in model.named_parameters():
        is_adapter = ".lora_" in name
        part = ("adapter" if ".default." in name else "reference adapter") if is_adapter else "weights"
        by_part[part] += [parameter.data, *_quantisation(getattr(parameter, "quant_state", None))]
    states = getattr(optimizer, "optimizer", optimizer).state.values()
    by_part["optimiser"] = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return {part: _num_bytes(tensors) for part, tensors in by_part.items()}


def _quantisation(state: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors that bitsandbytes keeps for packed weights: scales, scales of scales, and codes."""
    if state is not None:
        yield from (value for value in vars(state).values() if isinstance(value, torch.Tensor))
        yield from _quantisation(state.state2)


def _num_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of tensors; a shared tensor counts once."""
    return sum({each.data_ptr(): each.nbytes for each in tensors}.values())


def _status(name: str) -> int:
    """Return a value from the kernel's status of this process, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found: Sequence[str] = re.findall(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[0]) * 1024
