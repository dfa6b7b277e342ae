"""`tritrace init`: a working folder with data, fitted recipes and the commands in order."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(help="the working folder; what is in it already is kept")],
    *,
    data: Annotated[
        str | None, typer.Option(help="a file or folder, hub:NAME, a source of `tritrace data sources`, or its YAML")
    ] = None,
    origin: Annotated[str | None, typer.Option("--from", help="where a named source's files are")] = None,
    model: Annotated[str | None, typer.Option(help="what to train: a name on the hub, a folder, or pocket")] = None,
    card: Annotated[str | None, typer.Option(help="GiB of the card, such as 16, or its name")] = None,
    split: Annotated[str | None, typer.Option(help="which of the source's splits is read  [default: train]")] = None,
    question: Annotated[str | None, typer.Option(help="what to ask of each picture of a folder without texts")] = None,
    image_root: Annotated[str | None, typer.Option(help="what paths of pictures are relative to")] = None,
    hold_out: Annotated[
        float | None, typer.Option(min=0, max=0.9, help="part that is held out  [default: 0.1]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="read at most so many records")] = None,
) -> None:
    """Begin: read your data, fit recipes to model and card, and write down the commands that follow, in order.

    What the columns are is guessed and shown, and stands in FOLDER/source.yaml to be corrected. The same command, or
    `tritrace init FOLDER` alone, makes again what was deleted.
    """
    from stages.way.begin import begin, wanted_in

    given: dict[str, object] = {"data": data, "origin": origin, "model": model, "card": card, "split": split}
    given |= {"question": question, "image_root": image_root, "hold_out": hold_out, "limit": limit}
    steps = begin(folder, wanted_in(folder, given), f"tritrace init {shlex.quote(str(folder))}", typer.echo)
    typer.echo(f"{folder}/README.md: the way, command by command")
    typer.echo(f"next: {steps[0].command}", err=True)
