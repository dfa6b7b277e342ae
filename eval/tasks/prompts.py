"""Makes the prompts of a task: from the pocket world, or from rows that `tritrace data import` wrote."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.building.build import Sizes, build_pocket
from data.files.json_lines import read_rows, row_to_json
from data.prompts import rollout_prompt
from data.rows import Query, RolloutPrompt
from data.sources.declared.registry import built_in_sources
from data.splits import content_key
from eval.tasks.task import POCKET, Task, TaskError
from protocol.plans.prompt import Style

SOURCES = Path("runs/sources")
"""Folder with the rows of public sets, as `NAME/queries.jsonl`."""
_FILES = {"train": "grpo", "validation": "validation", "test": "test"}
"""Split -> file of a pocket data set with its prompts."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts, and the folder of their pictures."""

    prompts: Sequence[RolloutPrompt]
    images_root: Path
    """Image paths are relative to this folder."""

    @property
    def fingerprint(self) -> str:
        """Hash of the rows, sixteen hexadecimal digits; of pictures only the names count."""
        text = "\n".join(json.dumps(row_to_json(prompt), sort_keys=True) for prompt in self.prompts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def task_prompts(task: Task, folder: Path, *, style: Style, rows: Path | None = None) -> PromptSet:
    """Return the prompts of a task.

    Args:
        task: the task.
        folder: pictures of the pocket world are drawn into its `data/`.
        style: the wording of plans in prompts.
        rows: the file of query rows; None looks in `SOURCES`.

    Raises:
        TaskError: the set was not imported, or has no row for this task; the message says what to do.
        RowsError: the rows cannot be read.
    """
    if task.source == POCKET:
        return _pocket_prompts(task, folder / "data", style)
    path = rows or SOURCES / task.source / "queries.jsonl"
    if not path.is_file():
        command = import_command(task, path)
        raise TaskError(f"task {task.name}: {path} does not exist; import the set first:\n    {command}")
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
    """Return at most `count` prompts, chosen by the hash of their id, in their old order: the same in every run."""
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
