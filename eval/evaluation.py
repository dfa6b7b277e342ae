"""Evaluates a policy: samples, judges and scores responses, and writes every response beside the numbers.

Writes `samples.jsonl` (one `Sample` per line) and `metrics.json` into a folder. If `evaluation.json` says that the
folder holds a complete evaluation of the same prompts, policy and settings, it is read and not repeated. An evaluation
is incomplete if some prompts got no response; the same call then asks for these again.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from data.files.json_lines import read_json, replacing, row_to_json
from data.files.locks import held
from data.pictures.images import ground_of, portable, read_image
from data.pictures.pixels import GROUND
from data.rows import RolloutPrompt
from eval.grading import score_items
from eval.judges import Item, Judge
from eval.policies.base import Generation, Policy
from eval.policies.kept import forget_responses, respond_once
from eval.results.samples import NO_RESPONSE, Sample, read_samples
from eval.results.summary import summarize
from eval.scores.response import Unscored
from protocol import Plan


def score_samples(
    prompts: Sequence[RolloutPrompt],
    generations: Sequence[Generation],
    images_root: Path,
    judge: Judge,
    *,
    ground: str = GROUND,
) -> Iterator[Sample]:
    """Yield a scored sample for each prompt and its response; all responses are judged together.

    A prompt without a response is unscored in everything, and the judge does not see it. The judge sees transparent
    pictures on the background `ground`, like the policy.
    """
    answered = [
        (prompt, generation) for prompt, generation in zip(prompts, generations, strict=True) if not generation.failure
    ]
    items = [
        Item.of(
            generation.text,
            Plan.from_json(prompt.plan),
            prompt.labels,
            prompt.query,
            partial(_read_images, prompt.images, images_root, ground),
        )
        for prompt, generation in answered
    ]
    scored = zip(items, score_items(items, judge), strict=True)
    for prompt, generation in zip(prompts, generations, strict=True):
        if generation.failure:
            yield replace(_sample(prompt, generation, ground), unscored={NO_RESPONSE: generation.failure})
            continue
        item, scores = next(scored)
        yield replace(
            _sample(prompt, generation, ground),
            scores={name: None if isinstance(score, Unscored) else score for name, score in scores.items()},
            unscored={name: score.reason for name, score in scores.items() if isinstance(score, Unscored)},
            diagnostics=tuple(found.to_json() for found in item.verdict.diagnostics),
        )


def _sample(prompt: RolloutPrompt, generation: Generation, ground: str) -> Sample:
    return Sample(
        id=prompt.id,
        kind=prompt.kind,
        query=prompt.query,
        images=prompt.images,
        plan=prompt.plan,
        labels=prompt.labels,
        response=generation.text,
        num_tokens=generation.num_tokens,
        is_truncated=generation.is_truncated,
        picture_ground=ground,
    )


def write_evaluation(folder: Path, samples: Sequence[Sample], settings: Mapping[str, Any]) -> None:
    """Write samples, metrics and then the settings, which identify the evaluation.

    If some prompts got no response, the sampled responses are kept, so that only these prompts are asked again.
    """
    with replacing(folder / "samples.jsonl") as file:
        for sample in samples:
            file.write(json.dumps(row_to_json(sample), ensure_ascii=False) + "\n")
    with replacing(folder / "metrics.json") as file:
        json.dump(summarize([samples]).to_json(), file, indent=1)
    num_missing = sum(NO_RESPONSE in sample.unscored for sample in samples)
    with replacing(folder / "evaluation.json") as file:
        incomplete = {"num_missing": num_missing} if num_missing else {}
        json.dump(dict(settings) | incomplete, file, indent=1, sort_keys=True)
    if not num_missing:
        forget_responses(folder)


def is_complete(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds a complete evaluation with these settings."""
    return bool(read_json(folder / "evaluation.json") == json.loads(json.dumps(dict(settings))))


def evaluate(
    policy: Policy,
    prompts: Sequence[RolloutPrompt],
    images_root: Path,
    judge: Judge,
    *,
    folder: Path,
    sampling: Mapping[str, Any],
) -> list[Sample]:
    """Sample a response to every prompt and score it.

    Each response is kept in the folder until `write_evaluation`, so that an interruption loses no response.

    Args:
        policy: the policy to evaluate.
        prompts: the prompts.
        images_root: the folder that image paths are relative to.
        judge: the judge.
        folder: folder of the evaluation.
        sampling: settings that identify the responses: checkpoint, prompts and sampling options.
    """
    generations = respond_once(policy, prompts, images_root, folder, sampling)
    return list(score_samples(prompts, generations, images_root, judge, ground=ground_of(policy)))


def evaluate_once(
    load: Callable[[], Policy],
    prompts: Sequence[RolloutPrompt],
    images_root: Path,
    judge: Judge,
    *,
    folder: Path,
    sampling: Mapping[str, Any],
    judged_by: Mapping[str, Any],
) -> list[Sample]:
    """Return the evaluation in the folder if it is complete; otherwise evaluate and write the result there.

    Args:
        load: returns the policy; called only if a response is missing.
        prompts: the prompts.
        images_root: the folder that image paths are relative to.
        judge: the judge.
        folder: folder of the evaluation.
        sampling: settings that identify the responses.
        judged_by: settings of the judge that affect its scores; {} for the rules.

    Raises:
        eval.judges.JudgeError: the judge stopped; the responses and its verdicts so far are kept.
        LockedError: another process writes an evaluation to the folder.
    """
    settings = dict(sampling) | dict(judged_by)
    if is_complete(folder, settings):
        return read_samples(folder / "samples.jsonl")
    with held(folder):
        samples = evaluate(load(), prompts, images_root, judge, folder=folder, sampling=sampling)
        write_evaluation(folder, samples, settings)
    return samples


def _read_images(sources: Sequence[str], root: Path, ground: str) -> tuple[bytes, ...]:
    return tuple(portable(read_image(source, root), ground, name=source)[1] for source in sources)
