"""The MLflow store that runs and traces go to: a local SQLite file unless `MLFLOW_TRACKING_URI` says otherwise.

Needs no torch.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from data.locks import held
from toolkit.secrets import redacted

EXPERIMENT = "tritrace"
LOCAL_ROOT = Path("runs")
SET_UP_SECONDS = 120.0
"""Longest wait for another process that is making the store, which takes some seconds."""


@contextmanager
def quiet_store() -> Iterator[None]:
    """Hide the warnings that MLflow causes among its own libraries, which a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
        # MLflow 3.17 maps its tables with what SQLAlchemy 2.1 deprecates.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        yield


def tracking_uri() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{LOCAL_ROOT / 'mlflow.db'}"


def shown_uri() -> str:
    """Return the address of the store as it is shown and written: without a password in it."""
    return redacted(tracking_uri())


def open_client() -> Any:
    """Return a client of the store, whose folder is made where it does not exist."""
    # MLflow asks an unreachable server again for minutes by default.
    for name, value in {"MAX_RETRIES": "1", "TIMEOUT": "5", "BACKOFF_FACTOR": "1", "BACKOFF_JITTER": "0"}.items():
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    os.environ.setdefault("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for every small table, in every log
    from mlflow import MlflowClient

    with _alone():
        client = MlflowClient(tracking_uri=tracking_uri())
        if _local_path():
            client.search_experiments(max_results=1)  # a new store has made its tables by now
    return client


def experiment_id(client: Any) -> str:
    """Return the id of our experiment, which is made where it does not exist."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    local = _local_path()
    # Beside a local store, where MLflow would choose the working directory.
    beside = local.parent.resolve() / "mlartifacts" if local else None
    with _alone():
        experiment = client.get_experiment_by_name(EXPERIMENT)  # another process may have made it meanwhile
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(EXPERIMENT, beside.as_uri() if beside else None))


def _local_path() -> Path | None:
    uri = tracking_uri()
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes from a local store while it is made: two at the same time break it for good."""
    local = _local_path()
    with held(local, wait_seconds=SET_UP_SECONDS) if local else nullcontext():
        yield
