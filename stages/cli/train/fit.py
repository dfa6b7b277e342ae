"""`tritrace fit`: finds settings that fit a card, with memory and time, and writes recipes."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from protocol.errors import UserError
from stages.spec import SPECS


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(fit)


def fit(
    model: Annotated[str, typer.Argument(help="a shape, a name on the hub, or a folder")],
    card: Annotated[str, typer.Option(help="GiB, such as 16, or a name, such as rtx-4060-ti-16gb")],
    stage: Annotated[list[str] | None, typer.Option(help="sft, dpo or grpo; repeatable  [default: all three]")] = None,
    budget: Annotated[str | None, typer.Option(help="hours or minutes, such as 12h; fewer rows and steps")] = None,
    write: Annotated[Path | None, typer.Option(help="folder for the recipes")] = None,
) -> None:
    """Find settings of a model's stages that fit a card, with memory and time, and write them as recipes.

    Only a configuration is downloaded, and nothing is run. Exit 0 if a setting fits, 1 if none does, 2 if the input is
    unusable.
    """
    from stages.fit.cards import find_cards
    from stages.fit.choice import fit as find_fit
    from stages.fit.model import find_model
    from stages.fit.recipe_text import Places, recipe_files, write_recipes
    from stages.fit.show import print_fit
    from stages.fit.time import amounts_within, read_budget

    names = stage or list(SPECS)
    if unknown := [name for name in names if name not in SPECS]:
        raise UserError(f"--stage: expected sft, dpo or grpo, found {unknown[0]!r}")
    hours = read_budget(budget) if budget else None
    cards = [each for each in find_cards(card) if each.bf16 or len(find_cards(card)) == 1]
    half = "bfloat16" if cards[0].bf16 else "float16"
    found = find_fit(find_model(model), cards[0].gib, names, half=half)  # type: ignore[arg-type]
    slowest = min((each for each in cards if each.name), key=lambda each: each.tflops, default=None)
    amounts = amounts_within(found.stages, slowest, hours) if found.stages else {}
    print_fit(found, amounts, cards, Console(highlight=False))
    if not found.stages:
        raise typer.Exit(1)
    if write is not None:
        write_recipes(recipe_files(found, amounts, Places(write.as_posix(), f"runs/{write.name}")), write)
        typer.echo(f"wrote {write}")
