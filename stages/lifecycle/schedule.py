"""Computes the number of updates of a stage, and limits the warmup to a part of them."""

import math
from typing import Any

from stages.arguments.stage import StageArguments, TRLConfig


def num_updates(stage: str, config: Any, num_rows: int) -> int:
    """Return the number of updates of a stage over all epochs.

    For GRPO it is an upper bound: an epoch leaves out prompts that do not fill a generation batch of one modality.

    Args:
        stage: sft, dpo or grpo.
        config: TRL's options.
        num_rows: number of rows, for all processes together.
    """
    if config.max_steps > 0:
        return int(config.max_steps)
    if stage == "grpo":
        prompts = config.generation_batch_size // config.num_generations
        batches = max(1, num_rows // prompts) * config.steps_per_generation * config.num_iterations
    else:
        batches = math.ceil(num_rows / (config.per_device_train_batch_size * config.world_size))
    updates = math.ceil(batches / config.gradient_accumulation_steps)
    total: int = math.ceil(config.num_train_epochs * updates)
    return max(1, total)


def fit_warmup(stage: str, arguments: StageArguments, config: TRLConfig, num_rows: int) -> None:
    """Limit the warmup to half of the updates, and add a note to the resolved recipe.

    The learning rate of the first warmup step is 0. If the warmup is longer than the stage, as in a trial of one step,
    nothing would be trained.

    Args:
        stage: sft, dpo or grpo.
        arguments: our options, which get the note.
        config: TRL's options, whose `warmup_steps` may change.
        num_rows: number of rows.
    """
    updates = num_updates(stage, config, num_rows)
    warmup = config.get_warmup_steps(updates)
    if warmup <= updates // 2:
        return
    steps = "1 step" if updates == 1 else f"{updates} steps"
    arguments.notes["warmup_steps"] = (
        f"reduced from {warmup}: training has {steps}, and the rate of the first warmup step is 0"
    )
    config.warmup_steps = updates // 2
