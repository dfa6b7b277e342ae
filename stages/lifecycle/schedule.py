"""How many updates a stage makes, and a warmup that leaves some of them a learning rate."""

import math
from typing import Any

from stages.arguments.stage import StageArguments, TRLConfig


def num_updates(stage: str, config: Any, num_rows: int) -> int:
    """Return how many updates a stage makes on so many rows, over all epochs.

    In GRPO it is an upper bound: prompts that fill no generation batch of one modality are left out of an epoch.

    Args:
        stage: sft, dpo or grpo.
        config: TRL's.
        num_rows: of the data, for all processes together.
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
    """Cut a warmup to half of the updates at most, and note that for the resolved recipe.

    The rate of the first update of a warmup is 0. A warmup as long as the whole stage, such as 20 steps of a trial of
    one, would train nothing.

    Args:
        stage: sft, dpo or grpo.
        arguments: ours, which get the note.
        config: TRL's, whose `warmup_steps` may change.
        num_rows: of the data.
    """
    updates = num_updates(stage, config, num_rows)
    warmup = config.get_warmup_steps(updates)
    if warmup <= updates // 2:
        return
    steps = "1 step" if updates == 1 else f"{updates} steps"
    arguments.notes["warmup_steps"] = (
        f"cut from {warmup}: training takes {steps}, and the rate of a warmup's first is 0"
    )
    config.warmup_steps = updates // 2
