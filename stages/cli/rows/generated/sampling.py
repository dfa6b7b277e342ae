"""Samples or reads the responses of a checkpoint to rollout prompts and scores them, for pairs and curation.

Sampling is expensive, so every response is kept and can be used again.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from data.files.json_lines import RowsError, numbered_lines, parse_object, replacing
from data.pairs.on_policy import Scored
from data.rows import RolloutPrompt
from eval.judges import RuleJudge
from eval.presets import PRESETS
from eval.presets import grade as eval_grade
from eval.scores.response import Unscored
from protocol import Plan
from protocol.errors import UserError
from stages.cli.options import PermissionOptions


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Sampling options of `tritrace data pairs` and `curate`."""

    checkpoint: Annotated[Path | None, typer.Option(help="a stage's folder to sample")] = None
    model: Annotated[str | None, typer.Option(help="a base model to sample, instead of a checkpoint")] = None
    permissions: PermissionOptions = field(default_factory=PermissionOptions)
    responses: Annotated[Path | None, typer.Option(help="read instead of sampling: {id, response} per line")] = None
    samples: Annotated[int, typer.Option(min=2, help="responses per prompt")] = 8
    temperature: Annotated[float, typer.Option(min=0.01, help="sampling temperature")] = 1.0
    max_prompts: Annotated[int | None, typer.Option(min=1, help="use only this number of first prompts")] = None
    seed: Annotated[int, typer.Option(help="seed of the sampling")] = 0
    batch_size: Annotated[int, typer.Option(min=1, help="prompts sampled together")] = 64
    max_new_tokens: Annotated[int, typer.Option(min=1, help="token limit of a response")] = 256


def check_beside(output: Path, prompts: Path) -> None:
    """Check that an output is in the folder of the prompts, because image paths are relative to it.

    Raises:
        UserError: it is in another folder, or it is the file of prompts itself.
    """
    if output.resolve().parent != prompts.resolve().parent:
        raise UserError(f"--output {output}: write beside the prompts, in {prompts.parent}; images are relative to it")
    if output.resolve() == prompts.resolve():
        raise UserError(f"--output {output}: is the file of prompts itself; name another")


def responses_to(
    prompts: Sequence[RolloutPrompt], images_root: Path, sampling: SamplingOptions, *, keep: Path
) -> dict[str, list[str]]:
    """Return responses by the id of their prompt: from a file, or else sampled and kept in a file.

    Raises:
        UserError: neither a checkpoint nor a model is given, or it cannot be loaded.
        RowsError: the recorded responses cannot be read.
    """
    if sampling.responses is not None:
        return read_responses(sampling.responses, prompts)
    texts = _sampled(prompts, images_root, sampling)
    with replacing(keep) as file:
        for name, found in texts.items():
            for text in found:
                file.write(json.dumps({"id": name, "response": text}, ensure_ascii=False) + "\n")
    return texts


def read_responses(path: Path, prompts: Sequence[RolloutPrompt]) -> dict[str, list[str]]:
    """Return recorded responses by the id of their prompt.

    Raises:
        RowsError: lists every line that is not `{"id": ..., "response": ...}` of one of the prompts.
    """
    known = {prompt.id for prompt in prompts}
    texts: dict[str, list[str]] = defaultdict(list)
    problems = []
    for number, line in numbered_lines(path):
        try:
            record = parse_object(line)
        except RowsError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        name, text = record.get("id"), record.get("response")
        if not isinstance(text, str) or name not in known:
            fault = "there is no such prompt" if isinstance(text, str) else "expected a text"
            problems.append(f"{path}:{number}: {'id' if isinstance(text, str) else 'response'}: {fault}")
        else:
            texts[str(name)].append(text)
    if problems:
        raise RowsError("\n".join([*problems[:20], 'hint: a line is {"id": the prompt\'s, "response": "..."}']))
    return texts


def grade(prompt: RolloutPrompt, text: str) -> Scored:
    """Score a response with the default reward and the rule judge."""
    graded = eval_grade(text, Plan.from_json(prompt.plan), prompt.labels, RuleJudge(), prompt.query)
    total = PRESETS["tritrace"].reward(graded).total
    codes = tuple(sorted({found.code for found in graded.verdict.diagnostics}))
    return Scored(text, None if isinstance(total, Unscored) else total, codes, graded.verdict.is_valid)


def _sampled(prompts: Sequence[RolloutPrompt], images_root: Path, sampling: SamplingOptions) -> dict[str, list[str]]:
    if (sampling.checkpoint is None) == (sampling.model is None):
        raise UserError("give one of --checkpoint FOLDER of a stage, --model of a base model, or --responses FILE")
    from stages.provenance.trust import Permissions
    from stages.results.subjects import load_policy

    policy = load_policy(
        sampling.model,
        sampling.checkpoint,
        permissions=Permissions(**sampling.permissions.granted()),
        temperature=sampling.temperature,
        seed=sampling.seed,
        batch_size=sampling.batch_size,
        max_new_tokens=sampling.max_new_tokens,
    )
    repeated = [prompt for prompt in prompts for _ in range(sampling.samples)]
    texts: dict[str, list[str]] = defaultdict(list)
    for prompt, generation in zip(repeated, policy.respond(repeated, images_root), strict=True):
        if not generation.is_truncated:  # a truncated response shows the token limit, not the policy
            texts[prompt.id].append(generation.text)
    return texts
