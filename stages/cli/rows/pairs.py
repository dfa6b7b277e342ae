"""`tritrace data pairs`: preference pairs of a checkpoint's own responses.

Sampling is the expensive part, so every response is kept beside the pairs, and other gaps can be tried on the same
responses with `--responses`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from data.files import read_rows, write_rows
from data.lengths import length_gap
from data.negatives import LengthLedger
from data.on_policy import ON_POLICY, pairs_by_score
from data.rows import PreferencePair, RolloutPrompt
from stages.cli.candidates import AllowBroken, AllowPickle, TrustRemoteCode
from stages.cli.rows.sampling import Sampling, check_beside, grade, responses_to
from stages.cli.rows.tables import length_table


def pairs(
    data: Annotated[Path, typer.Option(help="rollout prompts with labels, such as runs/pocket/data/grpo.jsonl")],
    output: Annotated[Path, typer.Option(help="the file of pairs, in the prompts' folder: images are relative to it")],
    *,
    checkpoint: Annotated[Path | None, typer.Option(help="a stage's folder to sample")] = None,
    model: Annotated[str | None, typer.Option(help="a base model, where there is no checkpoint")] = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
    allow_broken: AllowBroken = False,
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
    check_beside(output, data)
    prompts = read_rows(data, RolloutPrompt)[:max_prompts]
    allowed = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle, "allow_broken": allow_broken}
    sampling = Sampling(checkpoint, model, samples, temperature, seed, batch_size, max_new_tokens, allowed)
    kept = output.with_suffix(".responses.jsonl")
    texts = responses_to(prompts, data.parent, sampling, keep=kept, recorded=responses)
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
