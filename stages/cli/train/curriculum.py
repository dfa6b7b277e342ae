"""`tritrace curriculum`, `sft`, `dpo` and `grpo`: the training commands; each imports torch when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from stages.cli.next_step import tell_next

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=_PASS_ON)(curriculum)
    for command in (sft, dpo, grpo):
        app.command(context_settings=_PASS_ON)(command)


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


def sft(context: typer.Context) -> None:
    """Train one stage: supervised fine-tuning. Takes --config FILE and any field of the recipe as a flag."""
    from stages import sft as stage
    from stages.arguments.stage import parse_stage

    stage.run(*parse_stage("sft", context.args))


def dpo(context: typer.Context) -> None:
    """Train one stage: direct preference optimisation. Takes --config FILE and any field of the recipe as a flag."""
    from stages import dpo as stage
    from stages.arguments.stage import parse_stage

    stage.run(*parse_stage("dpo", context.args))


def grpo(context: typer.Context) -> None:
    """Train one stage: group relative policy optimisation. Takes --config FILE and any recipe field as a flag."""
    from stages import grpo as stage
    from stages.arguments.stage import parse_stage

    stage.run(*parse_stage("grpo", context.args))
