"""`tritrace data label`: labels from a judge model for queries that have none."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from protocol.errors import UserError
from stages.cli.next_step import tell_next


def label(
    folder: Annotated[Path, typer.Argument(help="a folder with queries.jsonl, as `tritrace data import` writes it")],
    judge_url: Annotated[str, typer.Option(envvar="OPENAI_BASE_URL", help="of the judge; key: OPENAI_API_KEY")],
    judge_model: Annotated[str, typer.Option(help="the endpoint's name of the judge")],
    *,
    margin: Annotated[float, typer.Option(min=0, max=5, help="least distance of each risk (0..10) from 5")] = 2.0,
    min_confidence: Annotated[float, typer.Option(min=0, max=10, help="least confidence (0..10)")] = 7.0,
    anew: Annotated[bool, typer.Option("--anew", help="forget known labels, to compare the judge with them")] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="questions at the same time")] = 8,
    timeout: Annotated[float, typer.Option(min=0.01, help="seconds for one request")] = 120.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="of one reply, thoughts included")] = 1024,
) -> None:
    """Have a judge rate risks, category and decision of each query, and keep what is clear.

    What was labelled stays, and a rating that contradicts it is set aside. The rest stands with reasons in
    labels.rejected.jsonl; the queries as they were stay in unlabelled/. Interrupted, the same command goes on and asks
    nothing twice. Exit 1: some got no reply, and the same command asks again.
    """
    for name in ("openai", "tenacity"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"data label needs the extra 'judge' ({name}): pip install '.[judge]'")
    from data.labelling.rating import Clear
    from data.labelling.run import Labelling, label_folder

    labelling = Labelling(
        folder=folder,
        base_url=judge_url,
        model=judge_model,
        clear=Clear(margin, min_confidence),
        is_anew=anew,
        concurrency=concurrency,
        timeout_seconds=timeout,
        max_tokens=max_tokens,
    )
    with tqdm(unit=" queries", disable=not sys.stderr.isatty(), leave=False) as bar:
        tally = label_folder(labelling, bar.update)
    typer.echo(f"{folder}/queries.jsonl: {len(tally.kept):,} labelled, {len(tally.rejects):,} set aside", err=True)
    for reason, count in tally.reasons.most_common():
        typer.echo(f"  {count:,} x {reason}", err=True)
    compare = f"tritrace agreement {folder}/queries.jsonl --labels LABELLED.jsonl --score combined_risk"
    typer.echo(f"how far to trust it: {compare}", err=True)
    if tally.num_unanswered:
        raise typer.Exit(1)
    tell_next("data label", folder, f"tritrace data template {folder}")
