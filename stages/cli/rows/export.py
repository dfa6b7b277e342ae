"""`tritrace data export` and `tritrace data card`: write rows for other trainers, and a data card."""

from pathlib import Path
from typing import Annotated

import typer

from data.exchange.card import write_card
from data.exchange.export import TrainerFormat
from data.exchange.export import export as export_rows

_MAX_SHOWN = 20


def add_to(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("export")(export)
    group.command("card")(card)


def export(
    folder: Annotated[Path, typer.Argument(help="a data folder")],
    *,
    form: Annotated[TrainerFormat, typer.Option("--format", help="the trainer to write for")],
    output: Annotated[Path, typer.Option(help="folder to write to")],
) -> None:
    """Write the rows of a folder, with pictures, in another trainer's format. Exit 1 if some rows are left out."""
    done = export_rows(folder, form, output, lambda name: typer.echo(f"{name} ...", err=True))
    for name, count in done.num_rows.items():
        typer.echo(f"{output / name}: {count} rows", err=True)
    for name in done.passed_over:
        typer.echo(f"{name}: skipped, {form} has no such rows", err=True)
    for bad in done.left_out[:_MAX_SHOWN]:
        typer.echo(str(bad))
    if num_more := len(done.left_out) - _MAX_SHOWN:
        typer.echo(f"... and {num_more} more" if num_more > 0 else "", nl=num_more > 0)
    raise typer.Exit(1 if done.left_out else 0)


def card(
    folder: Annotated[Path, typer.Argument(help="a data folder")],
    *,
    output: Annotated[Path | None, typer.Option(help="the file to write  [default: README.md in the folder]")] = None,
) -> None:
    """Write the data card of a folder: licences, sources, splits, sizes, how it was built, limits."""
    typer.echo(str(write_card(folder, output)))
