"""`tritrace runs`: lists the tracked runs and their results."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.diagnostics import printable
from protocol.errors import UserError
from stages.cli.options import OutputFormat

if TYPE_CHECKING:
    from stages.tracking.run_list import TrackedRun

app = typer.Typer(help="The tracked runs and their results.", invoke_without_command=True)


def add_to(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(app, name="runs")


@app.callback()
def runs(
    context: typer.Context,
    output: Annotated[OutputFormat, typer.Option("--format", help="text, or one JSON list")] = OutputFormat.TEXT,
) -> None:
    """List the tracked runs, each curriculum with its stages, and their results in percent.

    The store is runs/mlflow.db, or MLFLOW_TRACKING_URI.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        from stages.tracking.run_list import tracked_runs
        from stages.tracking.store import shown_uri
    except ModuleNotFoundError as error:
        raise UserError(f'this command needs {error.name}: pip install ".[train]"') from None
    try:
        found = tracked_runs()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the tracking store {shown_uri()} does not answer: {reason}") from error
    if output is OutputFormat.JSON:
        typer.echo(json.dumps([run.to_json() for run in found], ensure_ascii=False))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(_table(found))
    typer.echo(f"{len(found)} runs; mlflow ui --backend-store-uri {shown_uri()}")


def _table(found: "list[TrackedRun]") -> Table:
    from eval.results.metrics import metric_by_name
    from stages.tracking.run_list import shown_metrics

    table = Table("run", "started", "status", box=box.SIMPLE_HEAD)
    names = shown_metrics()
    for title in ("seconds", *(metric_by_name[name].title for name in names), "last reward or loss"):
        table.add_column(title, justify="right")
    listed = {run.run_id for run in found}
    for run in found:
        indent = "  " if run.parent in listed else ""
        started = datetime.fromtimestamp(run.started).astimezone().strftime("%Y-%m-%d %H:%M")
        cells = [f"{run.results[name]:.1f}" if name in run.results else "–" for name in names]
        seconds = "–" if run.seconds is None else f"{run.seconds:,.0f}"
        training = next((f"{name} {value:.3g}" for name, value in run.training.items()), "–")
        table.add_row(Text(indent + printable(run.name)), started, run.status.lower(), seconds, *cells, training)
    return table
