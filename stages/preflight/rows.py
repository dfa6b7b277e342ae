"""Checks that the rows fit the model: their number, their images, and the sizes of GRPO's batches."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.rows import TrainingRow
from stages.arguments.stage import TRLConfig
from stages.inputs.pictures import notes_of, picture_fact
from stages.preflight.findings import Finding, Section


def rows_section(rows: Sequence[TrainingRow], path: Path, *, has_vision: bool, config: TRLConfig) -> Section:
    """Check rows that were read successfully, with their images.

    Args:
        rows: all training rows.
        path: their file.
        has_vision: whether the model accepts images.
        config: TRL's options; for GRPO they state the prompts of a generation batch.
    """
    num_with_images = sum(bool(row.images) for row in rows)
    findings = [
        Finding("ok", "read", f"{len(rows)} rows of {path}, {sum(len(row.images) for row in rows)} images decoded"),
        _modality(num_with_images, len(rows), has_vision=has_vision),
        *_duplicates(rows),
    ]
    if hasattr(config, "num_generations"):
        findings.append(_batches(num_with_images, len(rows), config))
    return Section("rows", tuple(findings))


def pictures_findings(rows: Sequence[TrainingRow], root: Path, ground: str) -> list[Finding]:
    """Report the conversions of unusual pictures, so that users know what the model sees."""
    sources = dict.fromkeys(source for row in rows for source in row.images)
    notes = notes_of(picture_fact(source, root, ground) for source in sources)
    told = "; ".join(f"{count} of {len(sources)}: {note}" for note, count in notes.items())
    return [Finding("ok", "shown", told)] if told else []


def _modality(num_with_images: int, num_rows: int, *, has_vision: bool) -> Finding:
    found = f"{num_with_images} rows with images, {num_rows - num_with_images} without"
    if num_with_images and not has_vision:
        return Finding("fails", "modality", f"{found}; the model is a text model", "use a vision-language model")
    return Finding("ok", "modality", found)


def _duplicates(rows: Sequence[TrainingRow]) -> list[Finding]:
    repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if not repeated:
        return []
    found = f"{len(repeated)} are given to several rows, such as {repeated[0]}"
    return [Finding("warning", "ids", found, "give every row its own id; they name rows in messages and records")]


def _batches(num_with_images: int, num_rows: int, config: Any) -> Finding:
    """Report prompts that `GroupSampler` leaves out: a batch has one modality, and partial batches are dropped."""
    prompts = max(1, config.generation_batch_size // config.num_generations)
    counts = (num_with_images, num_rows - num_with_images)
    left_out = sum(count % prompts for count in counts)
    num_batches = sum(count // prompts for count in counts)
    found = f"{num_batches} an epoch of {prompts} prompts x {config.num_generations}, each of one modality"
    if num_batches == 0:
        return Finding("fails", "batches", found, "add prompts, or lower per_device_train_batch_size")
    if left_out:
        return Finding("warning", "batches", f"{found}; {left_out} prompts fill none and are left out of an epoch")
    return Finding("ok", "batches", found)
