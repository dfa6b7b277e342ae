"""`tritrace init`: makes a working folder with data, fitted recipes and a list of commands."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(help="the working folder; existing files are kept")],
    *,
    data: Annotated[
        str | None, typer.Option(help="a file or folder, hub:NAME, a source of `tritrace data sources`, or its YAML")
    ] = None,
    origin: Annotated[str | None, typer.Option("--from", help="the files of a named source")] = None,
    model: Annotated[str | None, typer.Option(help="model to train: a name on the hub, a folder, or pocket")] = None,
    card: Annotated[str | None, typer.Option(help="GiB of the card, such as 16, or its name")] = None,
    split: Annotated[str | None, typer.Option(help="split of the source to read  [default: train]")] = None,
    question: Annotated[str | None, typer.Option(help="question about each picture of a folder")] = None,
    image_root: Annotated[str | None, typer.Option(help="folder that picture paths are relative to")] = None,
    hold_out: Annotated[float | None, typer.Option(min=0, max=0.9, help="share to hold out  [default: 0.1]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="maximum number of records to read")] = None,
) -> None:
    """Begin: read your data, fit recipes to model and card, and write a list of the next commands.

    The meaning of the columns is guessed and printed; you can correct it in FOLDER/source.yaml. The same command, or
    `tritrace init FOLDER` alone, makes deleted files again.
    """
    from stages.way.begin import begin, wanted_in
    from stages.way.steps import count_done

    given: dict[str, object] = {"data": data, "origin": origin, "model": model, "card": card, "split": split}
    given |= {"question": question, "image_root": image_root, "hold_out": hold_out, "limit": limit}
    steps = begin(folder, wanted_in(folder, given), f"tritrace init {shlex.quote(str(folder))}", typer.echo)
    typer.echo(f"{folder}/README.md: the way, command by command")
    for step in steps[count_done(folder, steps) :][:1]:
        typer.echo(f"next: {step.command}", err=True)
