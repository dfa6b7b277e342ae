"""`tritrace runs trace`: logs evaluated responses as traces for MLflow's user interface."""

from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import UserError


def add_to(group: typer.Typer) -> None:
    """Add the command to the group of `tritrace runs`."""
    group.command("trace")(trace)


def trace(
    evaluation: Annotated[Path, typer.Argument(help="the output of tritrace eval, a stage, a run, or a samples.jsonl")],
    limit: Annotated[int, typer.Option(min=1, help="maximum traces of an evaluation; failures come first")] = 100,
    mlflow_run: Annotated[str | None, typer.Option(help="id of the MLflow run that the traces belong to")] = None,
) -> None:
    """Log responses as MLflow traces: a span for each virtual-tool call, diagnostics, and a feedback for each score.

    A second call logs only missing traces. The store is runs/mlflow.db, or MLFLOW_TRACKING_URI.
    """
    from eval.results.runs import evaluations
    from eval.results.samples import read_samples

    try:
        from stages.tracking.store import shown_uri
        from stages.tracking.traces import evaluation_name, log_traces, worst_first
    except ModuleNotFoundError as error:
        raise UserError(f'this command needs {error.name}: pip install ".[train]"') from None
    for stage, paths in evaluations(evaluation).items():
        for path in paths:
            samples = worst_first(read_samples(path), limit)
            done = 0
            for done, _ in enumerate(log_traces(samples, evaluation_name(path), stage=stage, run_id=mlflow_run), 1):
                if done % 25 == 0:
                    typer.echo(f"{stage}: {done} traces")
            typer.echo(f"{stage}: {done} traces logged, {len(samples) - done} already there ({path})")
    typer.echo(f"mlflow ui --backend-store-uri {shown_uri()}")
