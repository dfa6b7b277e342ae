"""Detects a lack of memory, in all forms in which libraries report it, and advises what to change in a recipe."""

import errno
import traceback
from collections.abc import Iterator
from typing import Any

import torch

from stages.arguments.stage import StageArguments
from stages.lifecycle.disk_full import causes

_WORDS = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one of its causes, says that the GPU or the host is out of memory."""
    for each in causes(error):
        if isinstance(each, (MemoryError, torch.OutOfMemoryError)) or getattr(each, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(each, RuntimeError) and any(words in str(each).casefold() for words in _WORDS):
            return True
    return False


def advice(stage: str, arguments: StageArguments, config: Any, error: BaseException) -> list[str]:
    """Return changes to try, as flags with their cost, the mildest first.

    Args:
        stage: sft, dpo or grpo.
        arguments: our options.
        config: TRL's options.
        error: the error; its traceback shows whether it happened during sampling or training.
    """
    is_sampling = stage == "grpo" and _was_sampling(error)
    kept = list(_that_keep_the_stage(stage, config))
    changes = list(_that_change_the_stage(arguments, config, is_sampling=is_sampling))
    # The memory of sampling depends on the completions sampled together; a smaller batch does not change their number.
    return changes + kept if is_sampling else kept + changes


def _that_keep_the_stage(stage: str, config: Any) -> Iterator[str]:
    batch, accumulation = config.per_device_train_batch_size, config.gradient_accumulation_steps
    if batch > 1:
        divisor = next(number for number in range(2, batch + 1) if batch % number == 0)
        flags = (
            f"--per_device_train_batch_size {batch // divisor} --gradient_accumulation_steps {accumulation * divisor}"
        )
        if stage == "grpo":
            flags += f" --steps_per_generation {config.steps_per_generation * divisor}"
        yield f"{flags}: the same rows per update; the stage continues"
    if not config.activation_checkpointing:
        yield "--activation_checkpointing true: a third more arithmetic; the stage continues"


def _that_change_the_stage(arguments: StageArguments, config: Any, *, is_sampling: bool) -> Iterator[str]:
    afresh = "the stage starts again"
    if is_sampling and (steps := _fewer_steps(config)):
        yield f"--steps_per_generation {steps}: fewer completions sampled together; {afresh}"
    if arguments.max_pixels and arguments.max_pixels >= 2 * (arguments.min_pixels or 1):
        yield f"--max_pixels {arguments.max_pixels // 2}: half of a picture's tokens; {afresh}"
    if not arguments.load_in_4bit:
        yield f"--load_in_4bit true: a quarter of the weights' memory; {afresh}"


def _fewer_steps(config: Any) -> int | None:
    """Return the next smaller `steps_per_generation` that gives whole groups."""
    completions = config.per_device_train_batch_size * config.world_size
    smaller = range(config.steps_per_generation - 1, 0, -1)
    divides = (steps for steps in smaller if config.steps_per_generation % steps == 0)
    return next((steps for steps in divides if completions * steps % config.num_generations == 0), None)


def _was_sampling(error: BaseException) -> bool:
    return any(
        frame.f_code.co_name == "_generate_single_turn"
        for each in causes(error)
        for frame, _ in traceback.walk_tb(each.__traceback__)
    )
