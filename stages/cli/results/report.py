"""`tritrace report`: writes the report of a run again. Needs no torch."""

from pathlib import Path
from typing import Annotated

import typer

from stages.cli.extras import need_scipy
from stages.cli.next_step import tell_next


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    run: Annotated[Path, typer.Argument(help="a run, one of its seeds, or the output of tritrace eval")],
    data: Annotated[Path | None, typer.Option(help="folder of the evaluated prompts, for their pictures")] = None,
    max_samples: Annotated[int, typer.Option(min=1, help="maximum prompts to show; numbers cover all")] = 1000,
) -> None:
    """Write report.html, report.json and table.md again, from the evaluations of a run."""
    need_scipy()
    from stages.results.reporting import rebuild_report

    typer.echo(f"report: {rebuild_report(run, images_root=data, max_samples=max_samples)}")
    tell_next("report", run)
