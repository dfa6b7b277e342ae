"""`tritrace grid`: runs a curriculum over training seeds, imitated machines and bases."""

from pathlib import Path
from typing import Annotated

import typer

from stages.cli.options import FIELDS_AS_FLAGS


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=FIELDS_AS_FLAGS)(grid)


def grid(
    context: typer.Context,
    declaration: Annotated[Path, typer.Argument(help="such as stages/recipes/pocket/grid.yaml")],
    *,
    jobs: Annotated[int, typer.Option(min=1, help="number of cells to run at once")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="run only this cell, and write no page; repeatable")] = None,
    open_test: Annotated[bool, typer.Option("--open-test", help="also evaluate the test split, and record it")] = False,
    results: Annotated[Path, typer.Option(help="page for the tables")] = Path("RESULTS.md"),
) -> None:
    """Run a curriculum on every cell of a grid, and write tables with the mean and the worst cell.

    Fields of the curriculum and of its stages can be given as flags, such as --grpo.max_steps 3. Finished, unchanged
    steps are skipped. Without --open-test only the validation split is evaluated.
    """
    from stages.grid.command import run_grid

    run_grid(declaration, jobs=jobs, only=only or (), opens_test=open_test, results=results, flags=context.args)
