"""Two steps of a stage on its longest row, for real: what they take at the most, and how long they take.

The peak is, on a GPU, what PyTorch allocated at the most (and what it reserved). Elsewhere, how far the process's
resident memory grew from before the model was loaded to its peak, which Linux tracks and lets a process reset. What is
there throughout, weights, adapters and optimiser, is summed up from the tensors that hold it after the steps.
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

from eval.models.loading import quiet_libraries
from stages import dpo, grpo, sft
from stages.arguments.stage import GRPOArguments, StageArguments, TRLConfig
from stages.errors import StageError
from stages.inputs.columns import Row, to_dataset
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import BuildTrainer, Job, Setup, built
from stages.provenance.manifest import Manifest
from stages.rollouts.reward import build_reward

BUILDERS: dict[str, BuildTrainer] = {"sft": sft.build_trainer, "dpo": dpo.build_trainer, "grpo": grpo.build_trainer}
NUM_STEPS = 2
"""The optimiser's state is there from the second on."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes at the peak."""

    peak: int
    reserved: int | None
    """What the GPU's allocator held; None on the CPU."""
    parts: dict[str, int]
    """Of the tensors that are there throughout, by the names of `memory.resident_bytes`."""
    seconds: float
    """Of the steps, what GRPO samples for them included, and whatever is slow only at first."""
    tokens: int
    """Of the steps: all that were trained on or sampled, prompts and pictures too, as TRL counts them."""


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
    worst: Row,
    folder: Path,
    *,
    build_trainer: BuildTrainer | None = None,
    num_steps: int = NUM_STEPS,
) -> Measured:
    """Train two steps, or more, on copies of one row.

    Args:
        stage: sft, dpo or grpo.
        arguments: ours.
        config: TRL's; it is not changed.
        worst: the longest row.
        folder: for what the steps write.
        build_trainer: of another trainer than the stage's own, to compare with.
        num_steps: from two on; more tell better how long a step takes.

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
    """Return a copy that ends after some steps, and keeps nothing."""
    short = copy.deepcopy(config)
    short.max_steps, short.save_strategy, short.output_dir = num_steps, "no", str(folder / "checkpoints")
    short.logging_steps = 1
    if isinstance(short, GRPOConfig):
        # Random weights may end at once; the worst case is that no response does.
        least = {"min_new_tokens": short.max_completion_length}
        short.generation_kwargs = (short.generation_kwargs or {}) | least
    return short


def _job(stage: str, arguments: StageArguments, config: TRLConfig, rows: list[Row]) -> Job:
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
    """Start counting anew, and return what is in use already."""
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
    """Yield the tensors that bitsandbytes keeps beside packed weights: scales, their own scales, and the codes."""
    if state is not None:
        yield from (value for value in vars(state).values() if isinstance(value, torch.Tensor))
        yield from _quantisation(state.state2)


def _num_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of tensors; one that is shared counts once."""
    return sum({each.data_ptr(): each.nbytes for each in tensors}.values())


def _status(name: str) -> int:
    """Return a size from the kernel's account of this process, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found: Sequence[str] = re.findall(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[0]) * 1024
