"""Evaluating the checkpoints of a run; an evaluation that is complete is read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import file_fingerprint, read_rows
from data.rows import RolloutPrompt
from eval.evaluation import evaluate, is_complete, write_evaluation
from eval.judges import Judge, RuleJudge
from eval.samples import Sample, read_samples
from stages.lifecycle import model_revision
from stages.manifest import read_manifest
from stages.policies import load_policy
from stages.progress import say
from toolkit.catalogue import fingerprint as protocol_fingerprint


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Something to evaluate: a base model, or a stage's adapter on it."""

    stage: str | None
    """The stage that made it; None for the base."""
    folder: Path
    """Where its `eval/` goes; for a stage, where its adapter and manifest are."""
    model: str
    """Folder or hub name of the base model."""


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    prompts_path: Path,
    *,
    batch_size: int,
    max_new_tokens: int,
    judge: Judge | None = None,
    judged_by: Mapping[str, Any] | None = None,
) -> Sequence[Sample]:
    """Return the scored responses of a checkpoint, sampled greedily unless that was done before.

    Args:
        checkpoint: what to evaluate.
        prompts_path: the prompts' file.
        batch_size: prompts sampled together.
        max_new_tokens: limit of a response.
        judge: who judges; the rules where it is None.
        judged_by: what of the judge decides its scores; {} or None for the rules.

    Raises:
        RowsError: the prompts cannot be read.
        JudgeError: the judge stopped; the responses and its verdicts so far are kept.
    """
    manifest = read_manifest(checkpoint.folder / "manifest.json") if checkpoint.stage else None
    sampling = {
        "model": model_revision(checkpoint.model),
        "adapter": manifest.adapter if manifest else None,
        "prompts": file_fingerprint(prompts_path),
        "protocol": protocol_fingerprint(),
        "batch_size": batch_size,
        "max_new_tokens": max_new_tokens,
    }
    settings = sampling | dict(judged_by or {})
    name, folder = checkpoint.stage or "base", checkpoint.folder / "eval"
    if is_complete(folder, settings):
        say(f"{name}: evaluation in {folder} is complete; read")
        return read_samples(folder / "samples.jsonl")
    policy = load_policy(
        None if manifest else checkpoint.model,
        checkpoint.folder if manifest else None,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        label=f"{name}: evaluating",
    )
    judge, prompts = judge or RuleJudge(), read_rows(prompts_path, RolloutPrompt)
    samples = evaluate(policy, prompts, prompts_path.parent, judge, folder=folder, sampling=sampling)
    write_evaluation(folder, samples, settings)
    return samples
