"""Moves a stage's folder aside when its recipe has changed; nothing is deleted.

`sft` becomes `sft.1` (then `sft.2`). With `extend: true`, a finished stage is instead continued to more steps, if the
result equals that of a longer run; the old state is moved aside too.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from stages.errors import StageError
from stages.lifecycle.resuming import sound_checkpoint, step_of
from stages.provenance.manifest import Manifest

LENGTHS = ("max_steps", "num_train_epochs")
_KEPT_ON = ("checkpoints", "rollouts.jsonl")
"""The parts of a folder that an extended stage needs."""


def free_name(output: Path) -> Path:
    """Return the new name for a stage's folder that is moved aside."""
    return next(place for number in count(1) if not (place := output.with_name(f"{output.name}.{number}")).exists())


def move_aside(output: Path, data: Path) -> Path:
    """Move a stage's folder aside and return its new path.

    Raises:
        StageError: the folder contains the training rows, or cannot be moved.
    """
    if data.resolve().is_relative_to(output.resolve()):
        raise StageError(f"{output}: contains the training rows {data} and cannot be moved aside; move the rows")
    place = free_name(output)
    try:
        output.rename(place)
    except OSError as error:
        raise StageError(f"{output}: cannot be moved aside to {place}: {error.strerror}; move it yourself") from error
    return place


def go_on_from(place: Path, output: Path, manifest: Manifest) -> None:
    """Make a new folder with the checkpoints of a stage that was moved aside, to continue with a longer recipe."""
    output.mkdir(parents=True)
    for name in _KEPT_ON:
        if (place / name).is_dir():
            shutil.copytree(place / name, output / name, copy_function=_linked)
        elif (place / name).exists():
            shutil.copyfile(place / name, output / name)
    manifest.write(output / "checkpoints" / "manifest.json")


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)  # checkpoints are large and never change
    except OSError:
        shutil.copy2(source, target)


def not_exact(finished: Manifest, wanted: Manifest, output: Path) -> list[str]:
    """Return why continuing a finished stage would differ from a longer run; empty if it would not."""
    return list(_reasons(finished, wanted, output))


def _reasons(finished: Manifest, wanted: Manifest, output: Path) -> Iterator[str]:
    names = [difference.partition(" ")[0].removeprefix("recipe.") for difference in wanted.differences(finished)]
    if others := [name for name in names if name not in LENGTHS]:
        yield f"{', '.join(others)} changed too; only {' and '.join(LENGTHS)} may"
    recipe = wanted.recipe
    for name in LENGTHS:
        before, after = finished.recipe.get(name), recipe.get(name)
        if isinstance(before, int | float) and isinstance(after, int | float) and after < before:
            yield f"{name} was {before:g}, and {after:g} is less"
    yield from _schedule(recipe)
    checkpoint, _ = sound_checkpoint(output)
    if checkpoint is None:
        yield f"{output / 'checkpoints'} has no sound checkpoint"
    elif isinstance(steps := finished.recipe.get("max_steps"), int) and 0 < steps != step_of(checkpoint):
        yield f"its last checkpoint is of step {step_of(checkpoint)}, not of its last step {steps}"


def _schedule(recipe: Mapping[str, Any]) -> Iterator[str]:
    schedule = str(recipe.get("lr_scheduler_type", "linear"))
    if schedule not in {"constant", "constant_with_warmup"}:
        yield (
            f"the learning rate follows lr_scheduler_type {schedule}, which depends on the number of steps; "
            "train with constant or constant_with_warmup to be able to extend"
        )
    elif schedule == "constant_with_warmup" and _is_share(recipe):
        yield "the warm-up is a share of all steps; give warmup_steps as a number of steps"


def _is_share(recipe: Mapping[str, Any]) -> bool:
    return bool(recipe.get("warmup_ratio")) or 0 < float(recipe.get("warmup_steps") or 0) < 1
