"""`tritrace data curate`: selects the rollout prompts that a checkpoint can learn from."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from data.files.json_lines import read_rows, replacing, write_rows
from data.rows import RolloutPrompt
from data.selection.curation import Box, Curated, Selection, curate
from protocol.errors import UserError
from stages.cli.extras import need_scipy
from stages.cli.rows.generated.sampling import SamplingOptions, check_beside, grade, responses_to

_BOX = Box()


@dataclass(frozen=True, kw_only=True)
class CurateOptions:
    """Options of `tritrace data curate`."""

    data: Annotated[Path, typer.Option(help="rollout prompts with labels, such as runs/pocket/data/grpo.jsonl")]
    output: Annotated[Path, typer.Option(help="file of kept prompts, in the folder of --data")]
    sampling: SamplingOptions
    quality: Annotated[tuple[float, float], typer.Option(help="lowest and highest mean score to keep, 0..1")] = (
        _BOX.low,
        _BOX.high,
    )
    min_spread: Annotated[float, typer.Option(help="minimum standard deviation of scores, 0..0.5")] = _BOX.min_spread
    max_kept: Annotated[int | None, typer.Option(min=1, help="keep at most this number, the most unstable ones")] = None


def curated(options: CurateOptions) -> None:
    """Keep the prompts with moderate quality and high instability: the policy answers them well only sometimes.

    Beside OUTPUT: the reason for every prompt (.curation.jsonl), a scatter plot (.svg), the responses.
    """
    need_scipy()
    from eval.report.scatter import selection_chart
    from eval.report.sheet import svg_sheet

    data, output = options.data, options.output
    check_beside(output, data)
    try:
        box = Box(*options.quality, options.min_spread, options.max_kept)
    except ValueError as error:
        raise UserError(f"data curate: {error}") from error
    prompts = read_rows(data, RolloutPrompt)[: options.sampling.max_prompts]
    kept = output.with_suffix(".responses.jsonl")
    texts = responses_to(prompts, data.parent, options.sampling, keep=kept)
    scores = {each.id: [grade(each, text).score for text in texts.get(each.id, ())] for each in prompts}
    found = curate(scores, box)
    num_kept = write_rows(output, [each for each in prompts if found[each.id].outcome is Selection.KEPT])
    _write_reasons(output.with_suffix(".curation.jsonl"), prompts, found)
    output.with_suffix(".svg").write_text(svg_sheet([selection_chart(found, box)], kind="balance"), encoding="utf-8")
    typer.echo(f"{output}: {num_kept} of {len(prompts)} prompts kept; reasons and a plot beside it")
    Console(highlight=False).print(_table(prompts, found))


def _write_reasons(path: Path, prompts: Sequence[RolloutPrompt], found: Mapping[str, Curated]) -> None:
    with replacing(path) as file:
        for prompt in prompts:
            each = found[prompt.id]
            record = {"id": prompt.id, "kind": prompt.kind, "outcome": each.outcome, "num_scored": each.num_scored}
            file.write(json.dumps({**record, "quality": each.quality, "instability": each.instability}) + "\n")


def _table(prompts: Sequence[RolloutPrompt], found: Mapping[str, Curated]) -> Table:
    """Return the number of prompts by kind and outcome."""
    counts = Counter((prompt.kind, found[prompt.id].outcome) for prompt in prompts)
    outcomes = [outcome for outcome in Selection if any(key[1] is outcome for key in counts)]
    table = Table("kind", *outcomes)
    for kind in sorted({prompt.kind for prompt in prompts}):
        table.add_row(kind, *(str(counts[kind, outcome]) for outcome in outcomes))
    return table
