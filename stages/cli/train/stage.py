"""`tritrace sft`, `dpo` and `grpo`: train one stage. Each imports torch when it runs."""

import typer

from stages.cli.options import FIELDS_AS_FLAGS


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (sft, dpo, grpo):
        app.command(context_settings=FIELDS_AS_FLAGS)(command)


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
