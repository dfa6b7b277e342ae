"""`tritrace preflight`: checks a stage before it is run."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from protocol.errors import UserError
from stages.cli.next_step import tell_next
from stages.cli.options import FIELDS_AS_FLAGS
from stages.errors import NO_RECIPE
from stages.spec import SPECS, STAGES


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=FIELDS_AS_FLAGS)(preflight)


def preflight(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="the stage's recipe, or a curriculum's: all three are checked")],
    stage: Annotated[str, typer.Option(help="sft, dpo or grpo; by default the name of the recipe's file")] = "",
    shape: Annotated[str | None, typer.Option(help="a model's shape from the repository, instead of --model")] = None,
    measure: Annotated[bool, typer.Option(help="also measure peak memory in two steps of the longest row")] = False,
    trace: Annotated[
        bool, typer.Option(help="also compute the peak memory from the real graph, on tensors without storage")
    ] = False,
) -> None:
    """Check rows, lengths, loss mask, reward, disk and memory of a stage without training it.

    Any field of the recipe can be given as a flag, such as --card_gib 24. Exit 0 if the run can start, 1 if it would
    fail, 2 if the input is unusable.
    """
    if not config.is_file():
        raise UserError(f"{config}: no such file; {NO_RECIPE}")
    if "curriculum" in config.stem and not stage:
        _whole(config, context.args, shape)
    from stages.arguments.stage import parse_stage
    from stages.preflight.findings import worst
    from stages.preflight.show import print_sections
    from stages.rehearsal.command import prepare, run_checks

    name = stage or next((each for each in SPECS if each in config.stem), "")
    if name not in SPECS:
        raise UserError(f"preflight: which stage is {config} of? give --stage sft, dpo or grpo")
    flags = [flag.replace("--card-gib", "--card_gib") for flag in context.args]
    given = [] if shape is None else [f"--model={shape}"]
    arguments, trl_config = parse_stage(name, ["--config", str(config), *given, *flags])  # type: ignore[call-overload]
    subject = prepare(name, arguments, trl_config, shape)
    with tempfile.TemporaryDirectory(prefix="tritrace-") as folder:
        sections = run_checks(subject, Path(folder) if measure else None, trace=trace)
    print_sections(sections, Console())
    raise typer.Exit(1 if worst([section.level for section in sections]) == "fails" else 0)


def _whole(recipe: Path, flags: list[str], shape: str | None) -> NoReturn:
    """Check the three stages of a curriculum, each as if the stages before it were done.

    Raises:
        typer.Exit: with 0 if all can start, 1 if one would fail.
    """
    from stages.curriculum import read_curriculum, with_base
    from stages.preflight.findings import worst
    from stages.preflight.show import print_sections
    from stages.rehearsal.command import prepare, run_checks

    curriculum = with_base(read_curriculum(recipe, [*flags, *([f"--model={shape}"] if shape else [])]))
    levels = []
    for stage in STAGES:
        arguments, trl_config = curriculum.parse(stage, curriculum.recipe.seeds[0])
        sections = run_checks(prepare(stage, replace(arguments, parent=None), trl_config, shape), None)
        typer.echo(f"{stage}:")
        print_sections(sections, Console())
        levels += [section.level for section in sections]
    if worst(levels) == "fails":
        raise typer.Exit(1)
    tell_next("preflight", recipe)
    raise typer.Exit(0)
