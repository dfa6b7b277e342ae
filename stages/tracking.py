"""Tracking in MLflow: one run a stage, under the run of its curriculum where there is one.

The store is a local SQLite file unless `MLFLOW_TRACKING_URI` says otherwise. Tracking is a convenience: when its store
fails, that is said once and training goes on.
"""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from eval.models import quiet_libraries

EXPERIMENT = "tritrace"
LOCAL_ROOT = Path("runs")
MAX_PARAM_LENGTH = 500

_parent_run_id: ContextVar[str | None] = ContextVar("_parent_run_id", default=None)


class TrackingWarning(UserWarning):
    """The tracking store failed; this run is no longer tracked."""


class Run:
    """One MLflow run, whose methods do nothing once the store has failed."""

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        """Start a run and log its parameters, as text cut to `MAX_PARAM_LENGTH` characters."""
        self.run_id: str | None = None
        self._client: Any = None
        self._is_on = True
        self._attempt(lambda: self._start(name))
        self._attempt(lambda: self._log_params(params))

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log the finite numbers among some metrics; the rest is dropped."""
        self._attempt(lambda: self._log_metrics(metrics, step))

    def log_file(self, path: Path) -> None:
        """Keep a copy of a file with the run."""
        self._attempt(lambda: self._client.log_artifact(self.run_id, str(path)))

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        self._attempt(lambda: self._client.set_terminated(self.run_id, status))

    def _attempt(self, action: Callable[[], None]) -> None:
        if not self._is_on:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a store raises, training is worth more
            self._is_on = False
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(f"tracking is off for this run: {reason}", TrackingWarning, stacklevel=3)

    @quiet_libraries()
    def _start(self, name: str) -> None:
        self._client = _client()
        parent = _parent_run_id.get()
        tags = {"mlflow.runName": name} | ({"mlflow.parentRunId": parent} if parent else {})
        self.run_id = self._client.create_run(_experiment_id(self._client), tags=tags).info.run_id

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        texts = {key: _shortened(str(value)) for key, value in params.items()}
        self._client.log_batch(self.run_id, params=[Param(key, text) for key, text in texts.items()])

    def _log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        numbers = {name: float(value) for name, value in metrics.items() if _is_finite(value)}
        batch = [Metric(name, value, now, step) for name, value in numbers.items()]
        self._client.log_batch(self.run_id, metrics=batch)


@contextmanager
def tracked(name: str, params: Mapping[str, Any], *, is_curriculum: bool = False) -> Iterator[Run]:
    """Track what happens inside as one run.

    Args:
        name: of the run.
        params: what it was told.
        is_curriculum: make runs that start inside children of this one.
    """
    run = Run(name, params)
    token = _parent_run_id.set(run.run_id) if is_curriculum else None
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.end("KILLED")
        raise
    except BaseException:
        run.end("FAILED")
        raise
    else:
        run.end("FINISHED")
    finally:
        if token is not None:
            _parent_run_id.reset(token)


class TrackingCallback(TrainerCallback):
    """Sends what the trainer logs to a run. Not transformers' own, which warns of every None and owns its runs."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
        """Log the numbers of a logging step."""
        del args, control
        if state.is_world_process_zero:
            self.run.log_metrics(logs, step=state.global_step)


def tracking_uri() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{LOCAL_ROOT / 'mlflow.db'}"


def _client() -> Any:
    # MLflow asks an unreachable server again for minutes by default.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def _experiment_id(client: Any) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    uri = tracking_uri()
    # Beside a local store, where MLflow would choose the working directory.
    beside = Path(uri.removeprefix("sqlite:///")).parent.resolve() / "mlartifacts"
    return str(client.create_experiment(EXPERIMENT, beside.as_uri() if uri.startswith("sqlite") else None))


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_PARAM_LENGTH else text[: MAX_PARAM_LENGTH - 3] + "..."
