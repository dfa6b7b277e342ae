"""Training rows as columns for TRL: `prompt`, `completion`, `chosen`, `rejected`, `images`, and columns for rewards.

Each image is decoded once here. So a broken one is reported before the first step, not hours later.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value

from data.files.json_lines import read_rows
from data.pictures.images import ImageError, read_image
from data.pictures.pixels import GROUND
from data.rows import PreferencePair, RolloutPrompt, SFTRow, TrainingRow
from eval.models.special_tokens import escape_messages, special_tokens
from protocol import Plan, system_prompt
from protocol.plans.prompt import Style
from stages.errors import StageError
from stages.inputs.pictures import ShownImage, picture_fact

_MESSAGES = List({"role": Value("string"), "content": Value("string")})


def read_training_rows(path: Path, row_type: type[Any], max_rows: int | None, ground: str = GROUND) -> list[Any]:
    """Read the rows to train on and check that all their images can be decoded.

    Raises:
        RowsError: the file cannot be read.
        StageError: there are no rows, or some images cannot be used; the message lists all of these.
    """
    rows = read_rows(path, row_type)[:max_rows]
    if not rows:
        raise StageError(f"{path}: holds no rows to train on")
    problems = []
    for row in rows:
        for source in row.images:
            try:
                picture_fact(source, path.parent, ground)
            except ImageError as error:
                problems.append(f"{path}: row {row.id}: {error}")
    if problems:
        raise StageError(problems)
    return rows


def fingerprint_rows(path: Path, rows: Sequence[TrainingRow]) -> dict[str, str]:
    """Return what identifies rows: hashes of the file and the images, the number of rows, the style of the prompts."""
    pictures = hashlib.sha256()
    for source in sorted({source for row in rows for source in row.images}):
        pictures.update(source.encode() + b"\0" + hashlib.sha256(read_image(source, path.parent)).digest())
    return {
        "rows": hashlib.sha256(path.read_bytes()).hexdigest(),
        "images": pictures.hexdigest(),
        "num_rows": str(len(rows)),
        "prompt_style": _prompt_style(rows[0]),
    }


def _prompt_style(row: TrainingRow) -> str:
    """Return the style of the system message, which `tritrace chat` must use too; "other" for your own text."""
    styles: tuple[Style, ...] = ("compact", "full")
    plan = Plan.from_json(row.plan)
    return next((style for style in styles if row.prompt[0]["content"] == system_prompt(plan, style)), "other")


def escape_rows(rows: Sequence[Any], processor: Any) -> list[Any]:
    """Return rows with the model's own markup in their words escaped (`eval/models/special_tokens.py`)."""
    tokens = special_tokens(processor)
    names = ("prompt", "completion", "chosen", "rejected")

    def escaped(row: Any) -> Any:
        turns = {name: getattr(row, name) for name in names if hasattr(row, name)}
        changed = {name: escape_messages(messages, tokens) for name, messages in turns.items()}
        return row if changed == turns else replace(row, **changed)

    return [escaped(row) for row in rows]


def to_dataset(rows: Sequence[TrainingRow], images_root: Path, ground: str = GROUND) -> Dataset:
    """Return rows as a data set for TRL.

    The `images` column has a list for each row, `[]` for none. If no row has an image, there is no such column: TRL
    expects a vision model if the column exists.

    Args:
        rows: all of one type.
        images_root: the folder that image paths are relative to.
        ground: name of the colour that transparency is put on.
    """
    has_images = any(row.images for row in rows)
    records = [_record(row) | ({"images": _encoded(row, images_root)} if has_images else {}) for row in rows]
    features = _features(rows[0]) | ({"images": List(ShownImage(ground=ground))} if has_images else {})
    return Dataset.from_list(records, features=Features(features))


def _record(row: TrainingRow) -> dict[str, Any]:
    if isinstance(row, SFTRow):
        return {"id": row.id, "prompt": list(row.prompt), "completion": list(row.completion)}
    if isinstance(row, PreferencePair):
        pair = {"chosen": list(row.chosen), "rejected": list(row.rejected)}
        return {"id": row.id, "prompt": list(row.prompt)} | pair
    names = ("id", "query_id", "kind", "plan", "query")
    return {name: getattr(row, name) for name in names} | {
        "prompt": list(row.prompt),
        "labels": row.labels.to_json(),
    }


def _features(row: TrainingRow) -> dict[str, Any]:
    if isinstance(row, RolloutPrompt):
        texts = List(Value("string"))
        lists = ("objects", "texts", "facts", "distractors")
        labels = {name: texts if name in lists else Value("string") for name in row.labels.to_json()}
        names = ("id", "query_id", "kind", "plan", "query")
        return dict.fromkeys(names, Value("string")) | {"prompt": _MESSAGES, "labels": labels}
    turns = ("completion",) if isinstance(row, SFTRow) else ("chosen", "rejected")
    return {"id": Value("string")} | dict.fromkeys(("prompt", *turns), _MESSAGES)


def _encoded(row: TrainingRow, images_root: Path) -> list[dict[str, Any]]:
    # A file is read again when its row is used. Only `data:` URIs must be kept in memory.
    return [
        {"bytes": read_image(source, images_root), "path": None}
        if source.startswith("data:")
        else {"bytes": None, "path": str((images_root / source).resolve())}
        for source in row.images
    ]
