"""Evaluating the checkpoints of a run; an evaluation that is complete is read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import file_fingerprint, read_rows
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
    """Something to evaluate: a base model, or a stage's adapter on it."""

    stage: str | None
    """The stage that made it; None for the base."""
    folder: Path
    """Where its `eval/` goes; for a stage, where its adapter and manifest are."""
    model: str
    """Folder or hub name of the base model; behind the name of a base, its revision (`NAME@REVISION`)."""
    permissions: Permissions = NO_PERMISSIONS
    """What the recipe that it is made by allows."""


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
    """Return the scored responses of a checkpoint, sampled greedily unless that was done before.

    Args:
        checkpoint: what to evaluate.
        prompts_path: the prompts' file.
        batch_size: prompts sampled together.
        max_new_tokens: limit of a response.
        judge: who judges; the rules where it is None.
        judged_by: what of the judge decides its scores; {} or None for the rules.
        folder: of the evaluation, in that of the checkpoint.

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
