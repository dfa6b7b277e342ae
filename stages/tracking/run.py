"""Tracks runs in MLflow: one run for each stage, below the run of its curriculum if there is one.

`stages/tracking/store.py` defines the store. Tracking is optional: if the store does not answer, a warning is printed
once and the store is tried again from time to time, with short time-outs. No number is lost: calls are queued, and all
numbers are also in the stage's `metrics.jsonl`. Only the main process tracks.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from accelerate import PartialState
from transformers import TrainerCallback

from data.files.json_lines import replacing
from data.files.numbers import is_finite_number
from eval.models.loading import quiet_libraries
from eval.results.samples import Sample
from eval.results.summary import summarize
from stages.memory.peak import peak_memory
from stages.tracking.files import HOME, LOCAL_METRICS, digest_of, keep_until, plain, read_home, sample_columns
from stages.tracking.patience import Patience
from stages.tracking.store import experiment_id, open_client, shown_uri
from toolkit.secrets import redacted, redacted_values

MAX_PARAM_LENGTH = 500

_parent: ContextVar["Run | None"] = ContextVar("_parent", default=None)


class TrackingWarning(UserWarning):
    """The tracking store does not answer, or rejects data."""


class Run:
    """One MLflow run. Its methods return quickly while the store is unavailable; their calls are queued."""

    def __init__(self, home: Path | None = None) -> None:
        """Make a run, to be started or opened later.

        Args:
            home: the tracked folder.
        """
        self.run_id: str | None = None
        self.is_main = PartialState().is_main_process
        self.patience = Patience(self._warn)
        self._home = home
        self._client: Any = None
        self._is_new = True

    def start(self, name: str, params: Mapping[str, Any], identity: Mapping[str, Any] | None = None) -> None:
        """Start the run, or continue the earlier run of `home` if it has the same identity.

        Args:
            name: name of the run.
            params: its parameters: cut to `MAX_PARAM_LENGTH` characters in MLflow, and complete in `recipe.yaml`.
            identity: values that must be equal to continue a run; by default the parameters.
        """
        params = redacted_values(dict(params))
        self._do(partial(self._start, name, digest_of([name, params if identity is None else identity])))
        self._do(partial(self._log_params, params))

    def reopen(self, run_id: str) -> None:
        """Open an existing run, which may have ended, to add to it."""
        self.run_id, self._is_new = run_id, False
        self._do(self._open)

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log the finite numbers of the metrics; other values are dropped."""
        numbers = {name: float(value) for name, value in metrics.items() if is_finite_number(value)}
        if self._home is not None and self.is_main:
            with (self._home / LOCAL_METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step} | numbers) + "\n")
        self._do(partial(self._log_metrics, numbers, step, int(time.time() * 1000)))

    def log_file(self, path: Path) -> None:
        """Store a copy of a file in the run."""
        self._do(lambda: self._client.log_artifact(self.run_id, str(path)))

    def log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Append rows, given as columns, to a table of the run; its name ends with .json."""
        self._do(partial(self._log_table, columns, name))

    def log_samples(self, samples: Sequence[Sample]) -> None:
        """Log an evaluation: its metrics as `eval/...`, and the samples as a table, once."""
        estimates = summarize([samples]).estimates
        numbers = {f"eval/{name}": each.value for name, each in estimates.items() if each.value is not None}
        self._do(partial(self._log_metrics, numbers, 0, int(time.time() * 1000)))
        self._do(partial(self._log_samples, samples))

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED; an unavailable store is tried a last time."""
        self._do(lambda: self._client.set_terminated(self.run_id, status))
        self.patience.catch_up(at_once=True)

    def _do(self, action: Callable[[], None]) -> None:
        if self.is_main:
            self.patience.do(action)

    def _warn(self, trouble: str) -> None:
        kept = f"; its numbers are in {self._home / LOCAL_METRICS}" if self._home else ""
        warnings.warn(f"the tracking store {shown_uri()} {redacted(trouble)}{kept}", TrackingWarning, stacklevel=6)

    @quiet_libraries()
    def _open(self) -> None:
        self._client = open_client()

    @quiet_libraries()
    def _start(self, name: str, key: str) -> None:
        self._open()
        known = {"uri": shown_uri(), "key": key}
        run_id = self._continued(known)
        self._is_new = run_id is None
        if run_id is None:
            tags = {"mlflow.runName": name}
            run_id = str(self._client.create_run(experiment_id(self._client), tags=tags).info.run_id)
        if self._home is not None:
            with replacing(self._home / HOME) as file:
                json.dump(known | {"run_id": run_id}, file)
        self._put_under_parent(run_id)
        self.run_id = run_id

    def _continued(self, known: Mapping[str, str]) -> str | None:
        """Reopen and return the earlier run of the folder, if it has the same identity and still exists."""
        before = read_home(self._home) if self._home is not None else {}
        if any(before.get(name) != value for name, value in known.items()):
            return None
        run_id = str(before["run_id"])
        query = f"attributes.run_id = '{run_id}'"
        if not self._client.search_runs([experiment_id(self._client)], query, max_results=1):
            return None
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _put_under_parent(self, run_id: str) -> None:
        parent = _parent.get()
        if parent is None:
            return
        if parent.run_id is None:
            parent.patience.catch_up()  # the store was unavailable when the parent started
        if parent.run_id is not None:
            self._client.set_tag(run_id, "mlflow.parentRunId", parent.run_id)

    def _log_params(self, params: Mapping[str, Any]) -> None:
        if not self._is_new:  # the parameters exist already and cannot be changed
            return
        from mlflow.entities import Param

        texts = {key: _shortened(str(value)) for key, value in params.items()}
        self._client.log_batch(self.run_id, params=[Param(key, text) for key, text in texts.items()])
        self._client.log_text(self.run_id, yaml.safe_dump(plain(params), sort_keys=False), "recipe.yaml")

    def _log_metrics(self, numbers: Mapping[str, float], step: int, now: int) -> None:
        from mlflow.entities import Metric

        batch = [Metric(name, value, now, step) for name, value in numbers.items()]
        self._client.log_batch(self.run_id, metrics=batch)

    @quiet_libraries()
    def _log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of pandas about MLflow's use of types
            self._client.log_table(self.run_id, {key: list(values) for key, values in columns.items()}, name)

    def _log_samples(self, samples: Sequence[Sample]) -> None:
        columns = sample_columns(samples)
        # Logging appends to a table. If a finished run is read again, the table of these samples exists already.
        name = f"samples-{digest_of(columns)[:8]}.json"
        if name not in {file.path for file in self._client.list_artifacts(self.run_id)}:
            self._log_table(columns, name)


@contextmanager
def tracked(
    name: str,
    params: Mapping[str, Any],
    *,
    is_curriculum: bool = False,
    home: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    first_step: int = 0,
) -> Iterator[Run]:
    """Track the block as one run.

    Args:
        name: name of the run.
        params: its parameters.
        is_curriculum: make runs inside the block children of this run.
        home: the tracked folder; its run is continued if the identity is the same.
        identity: values that must be equal to continue a run; by default the parameters.
        first_step: the step at which training continues; later numbers in `metrics.jsonl` are dropped.
    """
    if home is not None and PartialState().is_main_process:
        home.mkdir(parents=True, exist_ok=True)
        keep_until(home / LOCAL_METRICS, first_step)
    run = Run(home)
    run.start(name, params, identity)
    token = _parent.set(run) if is_curriculum else None
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
            _parent.reset(token)


def run_of(home: Path) -> Run | None:
    """Return the run of a tracked folder, to add to it; None if this store has none."""
    known = read_home(home)
    if known.get("uri") != shown_uri():
        return None
    run = Run()
    run.reopen(str(known["run_id"]))
    return run


class TrackingCallback(TrainerCallback):
    """Sends the trainer's logs to a run. transformers' own callback warns about every None and manages its own runs."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
        """Log the numbers of a logging step."""
        del args, control
        if state.is_world_process_zero:
            self.run.log_metrics({**logs, **peak_memory().numbers()}, step=state.global_step)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_PARAM_LENGTH else text[: MAX_PARAM_LENGTH - 3] + "..."
