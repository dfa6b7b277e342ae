"""`tritrace data template`: makes rows for all three stages from labels and reference answers, without a teacher."""

from pathlib import Path
from typing import Annotated

import typer

from data.files.json_lines import read_rows
from data.labelled.responses import labelled_planner
from data.labelled.rows import Maker, Report, make_stages
from data.rows import Query
from protocol.errors import UserError
from stages.cli.candidates import style_of
from stages.cli.next_step import tell_next
from stages.way.steps import synthesize_command
from toolkit.planner import Planner


def template(
    folder: Annotated[Path, typer.Argument(help="a folder with queries.jsonl, written by `tritrace data import`")],
    *,
    style: Annotated[str, typer.Option(help="style of the prompts: compact or full")] = "compact",
    pairs_per_query: Annotated[int, typer.Option(min=1, help="preference pairs per query")] = 2,
    seed: Annotated[int, typer.Option(help="seed for the pairs")] = 0,
) -> None:
    """Make rows for all three stages from labels and reference answers.

    Traces come from templates. Answers come from the set; without one, a fixed refusal is used. Tools that the labels
    cannot fill are left out of every plan. Queries without a possible row are in stages.rejected.jsonl with the
    reasons.
    """
    if not (folder / "queries.jsonl").is_file():
        hint = "`tritrace init FOLDER --data FILE --model NAME` or `tritrace data import` writes it"
        raise UserError(f"{folder}/queries.jsonl: no such file; {hint}")
    planner = labelled_planner(read_rows(folder / "queries.jsonl", Query))
    maker = Maker(planner, style_of(style) or "compact", pairs_per_query, seed)
    report = make_stages(folder, maker, is_taught=False)
    tell_stages(folder, report)
    if report.lacks_answers:
        typer.echo(f"next: {synthesize_command(folder)}", err=True)
        return
    tell_next("data template", folder, f"tritrace data check {folder}")


def complete_stages(queries: Path, planner: Planner, style: str, seed: int) -> None:
    """Make the rows of dpo and grpo and the held-out prompts, beside the rows of a teacher."""
    maker = Maker(planner, style_of(style) or "compact", seed=seed)
    tell_stages(queries.parent, make_stages(queries.parent, maker, is_taught=True))
    tell_next("data synthesize", queries, f"tritrace data check {queries.parent}")


def tell_stages(folder: Path, report: Report) -> None:
    """Print what was made, what was assumed and what was set aside."""
    for line in report.lines():
        typer.echo(f"{folder}: {line}", err=True)
    if report.set_aside:
        typer.echo(f"{folder}/stages.rejected.jsonl: each of these queries with its reason", err=True)
