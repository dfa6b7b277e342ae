"""`tritrace manifest`: what a run was made of, and whether it still is."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.errors import UserError

_style = {"holds": "green", "not here": "yellow", "broken": "red"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("manifest")(manifest)


def manifest(
    run: Annotated[Path, typer.Argument(help="folder of a run, of a seed, of a stage, or of an export")],
    with_model: Annotated[bool, typer.Option(help="also hash the base model")] = True,
    seal: Annotated[str | None, typer.Option(help="of an export: as tritrace export printed it")] = None,
) -> None:
    """Print the chain of a run's manifests and verify every hash in it; of an export, its files and manifests.

    A run also checks the exports that were made of it, by the seals it keeps. An export alone is checked by what it
    says of itself: only its seal, kept elsewhere, tells a change of its files and of export.json together.

    Exit 0 if all links hold, 1 if one is broken, 2 if there is no chain to read. What is not here cannot be checked,
    and is said so.
    """
    from stages.provenance.chain import broken, read_chain
    from stages.provenance.export_mark import is_export
    from stages.provenance.exported_chain import read_export, with_exports

    if is_export(run):
        chain = read_export(run, seal)
    elif seal is not None:
        raise UserError(f"--seal: {run} is no export; a run keeps the seals of its exports itself")
    else:
        chain = list(with_exports(read_chain(run, with_model=with_model)))
    console = Console(highlight=False, soft_wrap=True)
    for stage in chain:
        made = stage.manifest
        title = f"{stage.folder}: {made.stage}, seed {made.seed}, from {_start(made)}"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
        for link in stage.links:
            cells = (Text(link.state, _style[link.state]), Text(link.name), Text(link.digest[:12]), Text(link.note))
            table.add_row(*cells)
        console.print(table)
        console.print()
    faults = broken(chain)
    for fault in faults:
        console.print(Text(f"broken: {fault}", "red"))
    num_links = sum(len(stage.links) for stage in chain)
    console.print(f"{len(chain)} stages, {num_links} links, {len(faults)} broken")
    raise typer.Exit(1 if faults else 0)


def _start(manifest: Any) -> str:
    """Return what a stage started from, which manifests did not always say."""
    return str(manifest.start or ("stage" if manifest.parent else "base"))
