"""The prompts of a task: drawn in the pocket world, or made of the rows that `tritrace data import` has written."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.build import Sizes, build_pocket
from data.files import read_rows, row_to_json
from data.prompts import rollout_prompt
from data.rows import Query, RolloutPrompt
from data.sources.registry import built_in_sources
from data.splits import content_key
from eval.tasks.task import POCKET, Task, TaskError
from protocol.prompt import Style

SOURCES = Path("runs/sources")
"""Where the rows of a public set are looked for: `NAME/queries.jsonl` below."""
_FILES = {"train": "grpo", "validation": "validation", "test": "test"}
"""The file of a pocket data set that has the prompts of a split."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts to evaluate on, and where their pictures are."""

    prompts: Sequence[RolloutPrompt]
    images_root: Path
    """The folder that image paths are relative to."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over the rows; pictures count by their names."""
        text = "\n".join(json.dumps(row_to_json(prompt), sort_keys=True) for prompt in self.prompts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def task_prompts(task: Task, folder: Path, *, style: Style, rows: Path | None = None) -> PromptSet:
    """Return the prompts of a task.

    Args:
        task: which.
        folder: for the pictures of the pocket world, which are drawn into its `data/`.
        style: how prompts put a plan into words.
        rows: the file of query rows; None looks below `SOURCES`.

    Raises:
        TaskError: the set has not been imported, or has no row for this task; the message says what to do.
        RowsError: the rows cannot be read.
    """
    if task.source == POCKET:
        return _pocket_prompts(task, folder / "data", style)
    path = rows or SOURCES / task.source / "queries.jsonl"
    if not path.is_file():
        command = import_command(task, path)
        raise TaskError(f"task {task.name}: {path} is not there; import the set first:\n    {command}")
    queries = read_rows(path, Query)
    kept = [rollout_prompt(query, style) for query in queries if task.takes(query)]
    if not kept:
        splits = ", ".join(sorted({query.split for query in queries})) or "none"
        raise TaskError(
            f"task {task.name}: none of the {len(queries)} rows of {path} belongs to it (split {task.split},"
            f" {dict(task.only) or 'all of it'}); found are the splits {splits}"
        )
    return PromptSet(kept, path.parent)


def draw_prompts(found: PromptSet, count: int | None) -> PromptSet:
    """Return at most `count` prompts, drawn by the hash of their id, in the order they had: the same in every run."""
    if count is None or count >= len(found.prompts):
        return found
    drawn = set(sorted((prompt.id for prompt in found.prompts), key=content_key)[:count])
    return PromptSet([prompt for prompt in found.prompts if prompt.id in drawn], found.images_root)


def import_command(task: Task, path: Path) -> str:
    """Return the command that imports the set of a task."""
    spec = built_in_sources()[task.source]
    names = (*(spec.hub.splits if spec.hub else ()), *spec.splits)
    split = next((name for name in names if name and spec.splits.get(name, name) == task.split), "")
    origin = "hub:" if spec.hub else "FILE"
    return f"tritrace data import {task.source} --from {origin}{f' --split {split}' if split else ''} --output {path}"


def _pocket_prompts(task: Task, folder: Path, style: Style) -> PromptSet:
    nothing = dict.fromkeys(("sft", "dpo", "grpo", "validation", "test"), 0)
    name = _FILES[task.split]
    build_pocket(folder, Sizes(**(nothing | {name: task.size})), seed=0, style=style)
    kinds = {query.id: query for query in read_rows(folder / "queries.jsonl", Query)}
    prompts = read_rows(folder / f"{name}.jsonl", RolloutPrompt)
    return PromptSet([prompt for prompt in prompts if task.takes(kinds[prompt.query_id])], folder)
