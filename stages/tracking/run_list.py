"""Reads the tracked runs and their results from MLflow's store, for `tritrace runs`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eval.results.metrics import METRICS
from stages.tracking.store import experiment_id, open_client

SHOWN = ("safety", "attack_success", "over_refusal", "validity")
_TRAINING = ("reward", "loss", "train_loss")
MAX_RUNS = 1000


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run of a curriculum or of a stage."""

    run_id: str
    name: str
    status: str
    parent: str | None
    """Id of the curriculum's run."""
    started: float
    """Seconds since 1970."""
    seconds: float | None
    """Wall-clock time; None while it runs, or if it was killed."""
    results: Mapping[str, float]
    """Metrics of its evaluation by name (`eval/results/metrics.py`); shares are in percent."""
    training: Mapping[str, float]
    """The last reward and loss."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, field by field."""
        return asdict(self)


def tracked_runs() -> list[TrackedRun]:
    """Return all runs, the newest curriculum first; each is followed by its stages in the order of their start."""
    client = open_client()
    found = client.search_runs([experiment_id(client)], max_results=MAX_RUNS, order_by=["attributes.start_time DESC"])
    runs = [_read(run) for run in found]
    known = {run.run_id for run in runs}
    children: dict[str, list[TrackedRun]] = {}
    for run in reversed(runs):
        if run.parent in known:
            children.setdefault(str(run.parent), []).append(run)
    ordered: list[TrackedRun] = []
    for run in runs:
        if run.parent not in known:
            ordered += [run, *children.get(run.run_id, [])]
    return ordered


def shown_metrics() -> list[str]:
    """Return the metrics for the table, which has space for only a few."""
    return [metric.name for metric in METRICS if metric.name in SHOWN]


def _read(run: Any) -> TrackedRun:
    info, metrics, tags = run.info, run.data.metrics, run.data.tags
    return TrackedRun(
        run_id=info.run_id,
        name=tags.get("mlflow.runName", info.run_id),
        status=info.status,
        parent=tags.get("mlflow.parentRunId"),
        started=info.start_time / 1000,
        seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        results={name.removeprefix("eval/"): value for name, value in metrics.items() if name.startswith("eval/")},
        training={name: metrics[name] for name in _TRAINING if name in metrics},
    )
