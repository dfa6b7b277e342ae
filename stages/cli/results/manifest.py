"""`tritrace manifest`: shows the inputs of a run and verifies that they are unchanged."""

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
    seal: Annotated[str | None, typer.Option(help="seal of an export, as tritrace export printed it")] = None,
) -> None:
    """Print the manifests of a run and verify every hash in them; for an export, verify its files and manifests.

    For a run, its exports are checked too, with the seals that the run keeps. An export alone is checked with its own
    export.json. Only a seal that was kept elsewhere detects a change of both files and export.json.

    Exit 0 if all links match, 1 if one is broken, 2 if there is no manifest. Files that are not here cannot be checked;
    the output names them.
    """
    from stages.provenance.chain import broken, read_chain
    from stages.provenance.export_mark import is_export
    from stages.provenance.exported_chain import read_export, with_exports

    if is_export(run):
        chain = read_export(run, seal)
    elif seal is not None:
        raise UserError(f"--seal: {run} is not an export; a run keeps the seals of its exports itself")
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
    """Return what a stage started from; old manifests do not state it."""
    return str(manifest.start or ("stage" if manifest.parent else "base"))
