"""Do the rows suit the model: are there any, do they have images, and do GRPO's batches come out even?"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.arguments.stage import TRLConfig
from stages.inputs.columns import Row
from stages.inputs.pictures import notes_of, picture_fact
from stages.preflight.findings import Finding, Section


def rows_section(rows: Sequence[Row], path: Path, *, has_vision: bool, config: TRLConfig) -> Section:
    """Report on rows that were read and whose images were decoded.

    Args:
        rows: all that are trained on.
        path: their file.
        has_vision: whether the model takes images.
        config: TRL's; of GRPO's, how many prompts make a generation batch.
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


def pictures_findings(rows: Sequence[Row], root: Path, ground: str) -> list[Finding]:
    """Report what was done to pictures that are not ordinary, so that it is no surprise what the model is shown."""
    sources = dict.fromkeys(source for row in rows for source in row.images)
    notes = notes_of(picture_fact(source, root, ground) for source in sources)
    told = "; ".join(f"{count} of {len(sources)}: {note}" for note, count in notes.items())
    return [Finding("ok", "shown", told)] if told else []


def _modality(num_with_images: int, num_rows: int, *, has_vision: bool) -> Finding:
    found = f"{num_with_images} rows with images, {num_rows - num_with_images} without"
    if num_with_images and not has_vision:
        return Finding("fails", "modality", f"{found}; the model is a text model", "use a vision-language model")
    return Finding("ok", "modality", found)


def _duplicates(rows: Sequence[Row]) -> list[Finding]:
    repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if not repeated:
        return []
    found = f"{len(repeated)} are given to several rows, such as {repeated[0]}"
    return [Finding("warning", "ids", found, "give every row its own id; they name rows in messages and records")]


def _batches(num_with_images: int, num_rows: int, config: Any) -> Finding:
    """Report what `GroupSampler` leaves out: a generation batch has one modality, and unfilled ones are dropped."""
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
