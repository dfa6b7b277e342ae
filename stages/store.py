"""The MLflow store that runs and traces go to: a local SQLite file unless `MLFLOW_TRACKING_URI` says otherwise.

Needs no torch.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXPERIMENT = "tritrace"
LOCAL_ROOT = Path("runs")


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


def open_client() -> Any:
    """Return a client of the store, whose folder is made where it does not exist."""
    # MLflow asks an unreachable server again for minutes by default.
    for name, value in {"MAX_RETRIES": "1", "TIMEOUT": "5", "BACKOFF_FACTOR": "1", "BACKOFF_JITTER": "0"}.items():
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    os.environ.setdefault("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for every small table, in every log
    from mlflow import MlflowClient

    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def experiment_id(client: Any) -> str:
    """Return the id of our experiment, which is made where it does not exist."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    uri = tracking_uri()
    # Beside a local store, where MLflow would choose the working directory.
    beside = Path(uri.removeprefix("sqlite:///")).parent.resolve() / "mlartifacts"
    return str(client.create_experiment(EXPERIMENT, beside.as_uri() if uri.startswith("sqlite") else None))
