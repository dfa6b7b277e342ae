"""`tritrace experiment`: trains, evaluates and compares variants of stages from the same parents."""

from pathlib import Path
from typing import Annotated

import typer

from stages.cli.options import FIELDS_AS_FLAGS


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=FIELDS_AS_FLAGS)(experiment)


def experiment(
    context: typer.Context,
    declaration: Annotated[Path, typer.Argument(help="such as stages/recipes/pocket/experiments/rewards.yaml")],
    seed: Annotated[list[int] | None, typer.Option(help="a seed, instead of the declared ones; repeatable")] = None,
    only: Annotated[list[str] | None, typer.Option(help="run only this variant; repeatable")] = None,
    output: Annotated[Path | None, typer.Option(help="folder, instead of the declared one")] = None,
) -> None:
    """Train the declared variants for every seed, evaluate them, and print a table with intervals.

    Fields of the curriculum and of its stages can be given as flags, such as --grpo.max_steps 3. Finished, unchanged
    steps are skipped; interrupted ones are continued.
    """
    from stages.experiments.run import run_experiment

    run_experiment(declaration, seeds=seed or (), only=only or (), output=output, flags=context.args)
