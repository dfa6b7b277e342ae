"""Which checkpoint a stage can be resumed from: the newest that is, byte for byte, what was written.

The last thing that is written of a checkpoint is its seal, the hashes of all its files. A checkpoint without a seal was
interrupted while it was written; one whose files differ from its seal was damaged since.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from data.files import read_json_object, replacing

SEAL = "seal.json"
_NAME = re.compile(r"checkpoint-[0-9]{1,15}", re.ASCII)


class SealCallback(TrainerCallback):
    """Seals each checkpoint once all processes have written their part of it."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the checkpoint that was just written."""
        del control
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def seal(checkpoint: Path) -> None:
    """Write down what a checkpoint consists of."""
    with replacing(checkpoint / SEAL) as file:
        json.dump({name: _hash(checkpoint / name) for name in _files(checkpoint)}, file, indent=1)


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    if not (checkpoint / SEAL).is_file():
        return "was not written to its end"
    sealed = read_json_object(checkpoint / SEAL)
    if not sealed:
        return f"{SEAL} cannot be read, or names no file"
    found = set(_files(checkpoint))
    for name, digest in sealed.items():
        if name not in found:
            return f"{name} is missing"
        if _hash(checkpoint / name) != digest:
            return f"{name} is not what was written"
    unnamed = sorted(name for name in found - set(sealed) if not Path(name).name.startswith("."))
    return f"{unnamed[0]} is not named in {SEAL}" if unnamed else None


def checkpoints(output: Path) -> list[Path]:
    """Return the checkpoints of a stage's folder, sound or not, the newest first."""
    folder = output / "checkpoints"
    # A folder that a user copied or renamed, such as `checkpoint-40 (copy)`, is not one of them.
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _NAME.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def sound_checkpoint(output: Path) -> tuple[Path | None, dict[Path, str]]:
    """Return the newest checkpoint that can be resumed from, and what is wrong with each newer one."""
    faults: dict[Path, str] = {}
    for checkpoint in checkpoints(output):
        fault = damage(checkpoint)
        if fault is None:
            return checkpoint, faults
        faults[checkpoint] = fault
    return None, faults


def step_of(checkpoint: Path) -> int:
    """Return the step a checkpoint was written at."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _files(checkpoint: Path) -> Iterator[str]:
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != SEAL and not path.name.startswith(f".{SEAL}"):
            yield path.relative_to(checkpoint).as_posix()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
