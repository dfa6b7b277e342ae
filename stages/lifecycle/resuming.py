"""Finds the checkpoint to resume a stage from: the newest one whose files are unchanged.

The seal of a checkpoint, with the hashes of all its files, is written last. A checkpoint without a seal is incomplete;
one whose files differ from its seal is damaged.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from data.files.json_lines import read_json_object, replacing

SEAL = "seal.json"
_NAME = re.compile(r"checkpoint-[0-9]{1,15}", re.ASCII)


class SealCallback(TrainerCallback):
    """Seals each checkpoint after all processes have written their part."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the checkpoint that was just written."""
        del control
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def seal(checkpoint: Path) -> None:
    """Write the hashes of a checkpoint's files."""
    with replacing(checkpoint / SEAL) as file:
        json.dump({name: _hash(checkpoint / name) for name in _files(checkpoint)}, file, indent=1)


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint; None if it is sound."""
    if not (checkpoint / SEAL).is_file():
        return "is incomplete"
    sealed = read_json_object(checkpoint / SEAL)
    if not sealed:
        return f"{SEAL} cannot be read, or names no file"
    found = set(_files(checkpoint))
    for name, digest in sealed.items():
        if name not in found:
            return f"{name} is missing"
        if _hash(checkpoint / name) != digest:
            return f"{name} was changed"
    unnamed = sorted(name for name in found - set(sealed) if not Path(name).name.startswith("."))
    return f"{unnamed[0]} is not named in {SEAL}" if unnamed else None


def checkpoints(output: Path) -> list[Path]:
    """Return all checkpoints in a stage's folder, sound or not, newest first."""
    folder = output / "checkpoints"
    # Folders that a user copied or renamed, such as `checkpoint-40 (copy)`, are ignored.
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _NAME.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def sound_checkpoint(output: Path) -> tuple[Path | None, dict[Path, str]]:
    """Return the newest sound checkpoint, and the fault of each newer one."""
    faults: dict[Path, str] = {}
    for checkpoint in checkpoints(output):
        fault = damage(checkpoint)
        if fault is None:
            return checkpoint, faults
        faults[checkpoint] = fault
    return None, faults


def step_of(checkpoint: Path) -> int:
    """Return the training step of a checkpoint."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _files(checkpoint: Path) -> Iterator[str]:
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != SEAL and not path.name.startswith(f".{SEAL}"):
            yield path.relative_to(checkpoint).as_posix()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
