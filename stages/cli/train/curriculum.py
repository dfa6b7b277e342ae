"""`tritrace curriculum`: runs all three stages. It imports torch when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from stages.cli.next_step import tell_next
from stages.cli.options import FIELDS_AS_FLAGS


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=FIELDS_AS_FLAGS)(curriculum)


def curriculum(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="such as stages/recipes/pocket/curriculum.yaml")],
) -> None:
    """Run all three stages with an evaluation after each, and write the report.

    Any field of the recipe can be given as a flag, such as --seeds 0 1 2 or --output runs/mine. Finished, unchanged
    stages are skipped; interrupted ones are continued.
    """
    from stages.curriculum import run_curriculum

    run_curriculum(recipe, context.args)
    tell_next("curriculum", recipe)
