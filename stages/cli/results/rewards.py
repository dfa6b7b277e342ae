"""`tritrace rewards`: lists the reward presets, and the rewards of attacks."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from data.pocket.world import SPLITS
from eval.attacks import ATTACKS, measure, page
from eval.attacks.constant import best_constant
from eval.presets import PRESETS, find_preset

app = typer.Typer(no_args_is_help=True, help="Reward presets, and attacks on them.")


def add_to(main: typer.Typer) -> None:
    """Add the group."""
    main.add_typer(app, name="rewards")


@app.command("list")
def list_presets() -> None:
    """List the presets with their descriptions."""
    for name, preset in PRESETS.items():
        typer.echo(f"{name:<14} {preset.about}")


@app.command()
def attacks(
    *,
    preset: Annotated[str, typer.Option(help="show one preset, by kind of query")] = "",
    per_kind: Annotated[int, typer.Option(min=1, help="queries of each kind")] = measure.PER_KIND,
    split: Annotated[str, typer.Option(help=f"split of the pocket world: {', '.join(SPLITS)}")] = "train",
    seed: Annotated[int, typer.Option(help="seed of the queries")] = measure.SEED,
    as_page: Annotated[bool, typer.Option("--page", help="print eval/presets/README.md, with its own queries")] = False,
) -> None:
    """Show how much more reward an honest response gets than each attack, and the reward of constant policies."""
    if as_page:
        typer.echo(page.page(), nl=False)
        return
    if preset:
        find_preset(preset)
    found = measure.outcomes(per_kind, split, seed)
    if preset:
        _print(page.kind_rows(found, preset), f"{preset}: honest minus attack, mean (n)")
        return
    _print(page.summary_rows(found), "Honest minus attack: least mean gap of any kind")
    _print(page.fooled_rows(found), f"Attacks held off, of {len(ATTACKS)}")
    _print(page.constant_rows(best_constant(split=split)), "Constant policies")


def _print(rows: list[page.Row], title: str) -> None:
    head, *body = rows
    table = Table(title=title, title_justify="left")
    for name in head:
        table.add_column(name)
    for row in body:
        table.add_row(*(cell.replace("*", "") for cell in row))
    Console(highlight=False, markup=False).print(table)
