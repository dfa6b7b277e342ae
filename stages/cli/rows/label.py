"""`tritrace data label`: lets a judge model label queries."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from protocol.errors import UserError
from stages.cli.next_step import tell_next


def label(
    folder: Annotated[Path, typer.Argument(help="a folder with queries.jsonl, written by `tritrace data import`")],
    judge_url: Annotated[str, typer.Option(envvar="OPENAI_BASE_URL", help="address of the judge; key: OPENAI_API_KEY")],
    judge_model: Annotated[str, typer.Option(help="name of the judge's model at the endpoint")],
    *,
    margin: Annotated[float, typer.Option(min=0, max=5, help="minimum distance of each risk (0..10) from 5")] = 2.0,
    min_confidence: Annotated[float, typer.Option(min=0, max=10, help="minimum confidence (0..10)")] = 7.0,
    anew: Annotated[bool, typer.Option("--anew", help="ignore known labels, to compare the judge with them")] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="concurrent questions")] = 8,
    timeout: Annotated[float, typer.Option(min=0.01, help="seconds for one request")] = 120.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="token limit of a reply")] = 1024,
) -> None:
    """Let a judge rate risks, category and decision of each query, and keep the clear ratings.

    Existing labels stay; a query whose rating contradicts them is set aside. Set-aside queries are in
    labels.rejected.jsonl with their reasons; unlabelled/ keeps the original queries. After an interruption, the same
    command continues and asks nothing twice. Exit 1: some queries got no reply; the same command asks again.
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
    typer.echo(f"measure the judge: {compare}", err=True)
    if tally.num_unanswered:
        raise typer.Exit(1)
    tell_next("data label", folder, f"tritrace data template {folder}")
