"""`tritrace data pairs`: preference pairs of a checkpoint's own responses.

Sampling is the expensive part, so every response is kept beside the pairs, and other gaps can be tried on the same
responses with `--responses`.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from data.files import RowsError, numbered_lines, parse_object, read_rows, replacing, write_rows
from data.lengths import length_gap
from data.negatives import LengthLedger
from data.on_policy import ON_POLICY, Scored, pairs_by_score
from data.rows import PreferencePair, RolloutPrompt
from eval.judges import RuleJudge
from eval.presets import PRESETS
from eval.presets import grade as eval_grade
from eval.scores import Unscored
from protocol import Plan
from protocol.errors import UserError
from stages.cli.tables import length_table


def pairs(
    data: Annotated[Path, typer.Option(help="rollout prompts with labels, such as runs/pocket/data/grpo.jsonl")],
    output: Annotated[Path, typer.Option(help="the file of pairs, in the prompts' folder: images are relative to it")],
    *,
    checkpoint: Annotated[Path | None, typer.Option(help="a stage's folder to sample")] = None,
    model: Annotated[str | None, typer.Option(help="a base model, where there is no checkpoint")] = None,
    responses: Annotated[
        Path | None, typer.Option(help="pair these instead of sampling: {id, response} a line")
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="responses a prompt")] = 8,
    temperature: Annotated[float, typer.Option(min=0.01, help="of the sampling")] = 1.0,
    min_gap: Annotated[float, typer.Option(min=0.01, max=1.0, help="least difference of the rewards, 0..1")] = 0.3,
    max_pairs: Annotated[int, typer.Option(min=1, help="pairs a prompt")] = 3,
    max_prompts: Annotated[int | None, typer.Option(min=1, help="the first so many prompts only")] = None,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="prompts sampled together")] = 64,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="limit of a response")] = 256,
) -> None:
    """Sample a checkpoint, score every response, and pair those whose scores are far enough apart."""
    if output.resolve().parent != data.resolve().parent:
        raise UserError(
            f"--output {output}: write the pairs beside the prompts, in {data.parent}; images are relative to it"
        )
    prompts = read_rows(data, RolloutPrompt)[:max_prompts]
    if responses is None:
        texts = _sampled(
            prompts,
            data.parent,
            adapter=checkpoint,
            model=model,
            num_samples=samples,
            temperature=temperature,
            seed=seed,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
        )
        _keep(output.with_suffix(".responses.jsonl"), texts)
    else:
        texts = read_responses(responses, prompts)
    counts: Counter[str] = Counter()
    num_pairs = write_rows(output, _pairs(prompts, texts, min_gap, max_pairs, counts))
    typer.echo(
        f"{output}: {num_pairs} pairs of {len(prompts)} prompts and {counts['responses']} responses; "
        f"{counts['unscored']} responses unscored, {counts['prompts without']} prompts without a pair"
    )
    lengths = [
        (len(row.chosen[0]["content"]), len(row.rejected[0]["content"])) for row in read_rows(output, PreferencePair)
    ]
    if lengths:
        Console(highlight=False).print(length_table({ON_POLICY: length_gap(lengths)}))


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


def _pairs(
    prompts: Sequence[RolloutPrompt],
    texts: Mapping[str, Sequence[str]],
    min_gap: float,
    max_pairs: int,
    counts: Counter[str],
) -> Iterator[PreferencePair]:
    ledger = LengthLedger()
    for prompt in prompts:
        scored = [grade(prompt, text) for text in texts.get(prompt.id, ())]
        counts["responses"] += len(scored)
        counts["unscored"] += sum(each.score is None for each in scored)
        found = list(pairs_by_score(prompt, scored, min_gap=min_gap, max_pairs=max_pairs, ledger=ledger))
        counts["prompts without"] += not found
        yield from found


def grade(prompt: RolloutPrompt, text: str) -> Scored:
    """Score a response by the default reward, with the rule judge."""
    graded = eval_grade(text, Plan.from_json(prompt.plan), prompt.labels, RuleJudge(), prompt.query)
    total = PRESETS["tritrace"].reward(graded).total
    codes = tuple(sorted({found.code for found in graded.verdict.diagnostics}))
    return Scored(text, None if isinstance(total, Unscored) else total, codes, graded.verdict.is_valid)


def _sampled(
    prompts: Sequence[RolloutPrompt],
    images_root: Path,
    *,
    adapter: Path | None,
    model: str | None,
    num_samples: int,
    temperature: float,
    seed: int,
    batch_size: int,
    max_new_tokens: int,
) -> dict[str, list[str]]:
    """Return `num_samples` responses a prompt.

    Raises:
        UserError: neither a checkpoint nor a model is given, or it cannot be loaded.
    """
    if (adapter is None) == (model is None):
        raise UserError("give one of --checkpoint FOLDER of a stage, --model of a base model, or --responses FILE")
    from stages.policies import load_policy

    policy = load_policy(
        model,
        adapter,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
    )
    repeated = [prompt for prompt in prompts for _ in range(num_samples)]
    texts: dict[str, list[str]] = defaultdict(list)
    for prompt, generation in zip(repeated, policy.respond(repeated, images_root), strict=True):
        if not generation.is_truncated:  # half a response shows the token limit, not what the policy would say
            texts[prompt.id].append(generation.text)
    return texts


def _keep(path: Path, texts: Mapping[str, Sequence[str]]) -> None:
    with replacing(path) as file:
        for name, found in texts.items():
            for text in found:
                file.write(json.dumps({"id": name, "response": text}, ensure_ascii=False) + "\n")
