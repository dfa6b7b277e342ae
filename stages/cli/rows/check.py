"""`tritrace data check` and `stats`: read rows, and print their faults or their counts."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from tqdm import tqdm

from protocol.diagnostics import printable
from stages.cli.extras import need_check
from stages.cli.next_step import tell_next
from stages.cli.rows.tables import balance_tables, length_table
from stages.cli.terminal import progress_bar

MAX_TOLD = 1000
"""Maximum number of printed faults; all are counted."""


def check(
    paths: Annotated[list[Path], typer.Argument(help="a data folder, or files of rows of one folder")],
    *,
    against: Annotated[
        list[str] | None, typer.Option(help="an evaluation set that the rows must not contain: NAME=FILE; repeatable")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="write a summary with plots")] = None,
    fix: Annotated[Path | None, typer.Option(help="write a cleaned copy, with the reason of each dropped row")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="processes to check with")] = 1,
) -> None:
    """Check rows, images, duplicates and leaks. Exit 0: no faults; 1: some rows have faults; 2: some are unreadable."""
    need_check()
    from data.checks.cleaning import write_cleaned
    from data.checks.index import SharedFault
    from data.checks.page import MAX_FAULTS, write_page
    from data.checks.run import check_of, summary_of
    from stages.cli.validate.pieces import num_bytes

    checked = check_of(paths, against=against or (), jobs=jobs)
    told = 0
    first: list[SharedFault] = []
    with progress_bar(num_bytes(map(str, checked.files)), "B") as advance:
        for found in checked.run(advance):
            told += 1
            if len(first) < MAX_FAULTS:
                first.append(found)
            if told <= MAX_TOLD:
                line = f"{found.file}:{found.line}: {found.fault.name}: {found.fault.message}"
                tqdm.write(printable(line), file=sys.stdout)
    if told > MAX_TOLD:
        typer.echo(f"... and {told - MAX_TOLD:,} more")
    if html is not None:
        write_page(html, checked, first)
    typer.echo(summary_of(checked), err=True)
    if fix is not None:
        num_kept, num_dropped = write_cleaned(checked, fix)
        typer.echo(f"{fix}: {num_kept:,} rows kept, {num_dropped:,} dropped with reasons", err=True)
    if checked.exit_code == 0:
        tell_next("data check", paths[0], "tritrace preflight --config RECIPE")
    elif fix is None:
        typer.echo(f"next: tritrace data check {paths[0]} --fix CLEANED (a copy without the faulty rows)", err=True)
    raise typer.Exit(checked.exit_code)


def stats(
    paths: Annotated[list[Path], typer.Argument(help="a data folder, or files of rows of one folder")],
    *,
    html: Annotated[Path | None, typer.Option(help="write a summary with plots")] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="tables, or a JSON object")] = "text",
    jobs: Annotated[int, typer.Option(min=1, help="processes to read with")] = 1,
) -> None:
    """Count rows by case, risk, category, decision, tool and topology, and compare lengths in pairs."""
    need_check()
    from data.checks.index import SharedFault
    from data.checks.page import MAX_FAULTS, write_page
    from data.checks.run import check_of, report_json, summary_of
    from stages.cli.validate.pieces import num_bytes

    checked = check_of(paths, jobs=jobs)
    first: list[SharedFault] = []
    with progress_bar(num_bytes(map(str, checked.files)), "B") as advance:
        for found in checked.run(advance):
            if len(first) < MAX_FAULTS:
                first.append(found)
    if html is not None:
        write_page(html, checked, first)
    if output == "json":
        typer.echo(report_json(checked))
    else:
        console = Console(highlight=False)
        for table in balance_tables(checked.counts):
            console.print(table)
        if gaps := checked.counts.length_gaps():
            console.print(length_table(gaps))
    typer.echo(summary_of(checked), err=True)
