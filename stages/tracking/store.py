"""The MLflow store of runs and traces: a local SQLite file, or `MLFLOW_TRACKING_URI`. Needs no torch."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from data.files.locks import held
from toolkit.secrets import redacted

EXPERIMENT = "tritrace"
LOCAL_ROOT = Path("runs")
SET_UP_SECONDS = 120.0
"""Maximum seconds to wait for another process that creates the store; creating takes some seconds."""


@contextmanager
def quiet_store() -> Iterator[None]:
    """Hide warnings that MLflow causes in its own libraries; users can do nothing about them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
        # MLflow 3.17 uses a feature that SQLAlchemy 2.1 deprecates.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        yield


def tracking_uri() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{LOCAL_ROOT / 'mlflow.db'}"


def shown_uri() -> str:
    """Return the address of the store without a password, for messages and files."""
    return redacted(tracking_uri())


def open_client() -> Any:
    """Return a client of the store; its folder is created if it does not exist."""
    # By default MLflow retries an unreachable server for minutes.
    for name, value in {"MAX_RETRIES": "1", "TIMEOUT": "5", "BACKOFF_FACTOR": "1", "BACKOFF_JITTER": "0"}.items():
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    os.environ.setdefault("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # it shows a bar for every small table
    from mlflow import MlflowClient

    with _alone():
        client = MlflowClient(tracking_uri=tracking_uri())
        if _local_path():
            client.search_experiments(max_results=1)  # after this, a new store has its tables
    return client


def experiment_id(client: Any) -> str:
    """Return the id of our experiment, which is created if it does not exist."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    local = _local_path()
    # Beside a local store; MLflow would use the working directory.
    beside = local.parent.resolve() / "mlartifacts" if local else None
    with _alone():
        experiment = client.get_experiment_by_name(EXPERIMENT)  # another process may have created it meanwhile
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(EXPERIMENT, beside.as_uri() if beside else None))


def _local_path() -> Path | None:
    uri = tracking_uri()
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@contextmanager
def _alone() -> Iterator[None]:
    """Lock a local store while it is created: two processes at the same time would break it permanently."""
    local = _local_path()
    with held(local, wait_seconds=SET_UP_SECONDS) if local else nullcontext():
        yield
