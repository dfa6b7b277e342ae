"""Evaluates the checkpoints of a run; a complete evaluation is read and not repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files.json_lines import file_fingerprint, read_rows
from data.rows import RolloutPrompt
from eval.evaluation import evaluate_once, is_complete
from eval.judges import Judge, RuleJudge
from eval.results.samples import Sample
from stages.progress import say
from stages.provenance.trust import NO_PERMISSIONS, Permissions
from stages.results.subjects import subject_of
from toolkit.catalogue import fingerprint as protocol_fingerprint


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to evaluate: a base model, or a stage's adapter on it."""

    stage: str | None
    """Name of the stage; None for the base."""
    folder: Path
    """Folder for its `eval/`; for a stage, the folder with its adapter and manifest."""
    model: str
    """Folder or hub name of the base model; a base's name may end with its revision (`NAME@REVISION`)."""
    permissions: Permissions = NO_PERMISSIONS
    """Permissions of the recipe that makes the checkpoint."""


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    prompts_path: Path,
    *,
    batch_size: int,
    max_new_tokens: int,
    judge: Judge | None = None,
    judged_by: Mapping[str, Any] | None = None,
    folder: str = "eval",
) -> Sequence[Sample]:
    """Return the scored, greedy responses of a checkpoint; a complete evaluation is read and not repeated.

    Args:
        checkpoint: the checkpoint.
        prompts_path: the file of prompts.
        batch_size: prompts sampled together.
        max_new_tokens: token limit of a response.
        judge: the judge; None means the rules.
        judged_by: settings of the judge that affect its scores; {} or None for the rules.
        folder: folder of the evaluation, in the checkpoint's folder.

    Raises:
        RowsError: the prompts cannot be read.
        JudgeError: the judge stopped; the responses and its verdicts so far are kept.
    """
    name, path = checkpoint.stage or "base", checkpoint.folder / folder
    named = (None, checkpoint.folder) if checkpoint.stage else (checkpoint.model, None)
    subject = subject_of(*named, permissions=checkpoint.permissions)
    sampling = {
        **subject.identity(),
        "prompts": file_fingerprint(prompts_path),
        "protocol": protocol_fingerprint(),
        "batch_size": batch_size,
        "max_new_tokens": max_new_tokens,
    }
    if is_complete(path, sampling | dict(judged_by or {})):
        say(f"{name}: evaluation in {path} is complete; read")
    return evaluate_once(
        lambda: subject.load(batch_size=batch_size, max_new_tokens=max_new_tokens, label=f"{name}: evaluating"),
        read_rows(prompts_path, RolloutPrompt),
        prompts_path.parent,
        judge or RuleJudge(),
        folder=path,
        sampling=sampling,
        judged_by=judged_by or {},
    )
