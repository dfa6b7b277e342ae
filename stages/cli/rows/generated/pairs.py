"""`tritrace data pairs`: makes preference pairs from a checkpoint's own responses.

Sampling is expensive. So every response is kept beside the pairs, and `--responses` can try another gap with the same
responses.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from data.files.json_lines import read_rows, write_rows
from data.pairs.lengths import length_gap
from data.pairs.negatives import LengthLedger
from data.pairs.on_policy import ON_POLICY, pairs_by_score
from data.rows import PreferencePair, RolloutPrompt
from stages.cli.rows.generated.sampling import SamplingOptions, check_beside, grade, responses_to
from stages.cli.rows.tables import length_table


@dataclass(frozen=True, kw_only=True)
class PairsOptions:
    """Options of `tritrace data pairs`."""

    data: Annotated[Path, typer.Option(help="rollout prompts with labels, such as runs/pocket/data/grpo.jsonl")]
    output: Annotated[Path, typer.Option(help="file of pairs, in the folder of --data")]
    sampling: SamplingOptions
    min_gap: Annotated[float, typer.Option(min=0.01, max=1.0, help="minimum difference of the rewards, 0..1")] = 0.3
    max_pairs: Annotated[int, typer.Option(min=1, help="maximum pairs per prompt")] = 3


def pairs(options: PairsOptions) -> None:
    """Sample a checkpoint, score every response, and pair responses with sufficiently different scores."""
    data, output = options.data, options.output
    check_beside(output, data)
    prompts = read_rows(data, RolloutPrompt)[: options.sampling.max_prompts]
    kept = output.with_suffix(".responses.jsonl")
    texts = responses_to(prompts, data.parent, options.sampling, keep=kept)
    counts: Counter[str] = Counter()
    num_pairs = write_rows(output, _pairs(prompts, texts, options, counts))
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
    options: PairsOptions,
    counts: Counter[str],
) -> Iterator[PreferencePair]:
    ledger = LengthLedger()
    for prompt in prompts:
        scored = [grade(prompt, text) for text in texts.get(prompt.id, ())]
        counts["responses"] += len(scored)
        counts["unscored"] += sum(each.score is None for each in scored)
        found = list(
            pairs_by_score(prompt, scored, min_gap=options.min_gap, max_pairs=options.max_pairs, ledger=ledger)
        )
        counts["prompts without"] += not found
        yield from found
