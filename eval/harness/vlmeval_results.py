"""Reads the results of VLMEvalKit (source of August 2026): `status.json`, or one score table for each benchmark.

`status.json` has `model_name`, and an object for each dataset: its `status`, its `metrics` (flat, such as
"split=none|Overall"), its `primary_metric` (one name, several, or none), and `skip_reason` or `error_message` if it
could not be scored. It has neither standard errors nor numbers of questions. Older versions write
`MODEL_DATASET_acc.csv` or `_score.csv`/`_score.json` instead.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.harness.errors import HarnessResultError
from eval.harness.scores import BenchmarkScore

HARNESS = "VLMEvalKit"
STATUS = "status.json"
_DONE = "done"
_ENDINGS = ("_acc.csv", "_score.csv", "_score.json", "_acc.json")
_OVERALL = ("overall", "acc", "final score norm", "score")
"""Names of the number for the whole benchmark, the most likely first."""


def read_vlmeval(path: Path) -> list[BenchmarkScore]:
    """Return the primary numbers of a status file, with a reason for each dataset that has none.

    Raises:
        HarnessResultError: the file cannot be read, or is not a status file.
    """
    datasets = _object(path).get("datasets")
    if not isinstance(datasets, dict):
        raise HarnessResultError(f"{path}: datasets: expected an object by dataset, as VLMEvalKit writes it")
    return [score for name, status in datasets.items() for score in _dataset_scores(path, name, status)]


def score_tables(files: Iterable[Path], with_status: set[Path]) -> list[Path]:
    """Return the score tables whose folder has no status file, in itself or in a folder below it."""
    return [
        file
        for file in files
        if file.name.endswith(_ENDINGS) and not any(status.is_relative_to(file.parent) for status in with_status)
    ]


def read_vlmeval_table(path: Path) -> list[BenchmarkScore]:
    """Return the numbers for the whole benchmark from a score table, one for each split.

    Raises:
        HarnessResultError: the file cannot be read, or has no number with a known name; the message lists these names.
    """
    benchmark = next(path.name.removesuffix(ending) for ending in _ENDINGS if path.name.endswith(ending))
    benchmark = benchmark.removeprefix(f"{path.parent.name}_")  # files are MODEL/MODEL_DATASET_acc.csv
    rows = _csv_rows(path) if path.suffix == ".csv" else [_object(path)]
    scores = []
    for row in rows:
        names = {str(name).strip().lower(): name for name in row}
        name = next((names[each] for each in _OVERALL if each in names), None)
        value = None if name is None else _number(row[name])
        if value is None:
            expected = ", ".join(_OVERALL)
            raise HarnessResultError(f"{path}: expected a number named {expected}; found {', '.join(names)}")
        split = row.get("split")
        metric = str(name) if split in {None, "", "none"} else f"{name} (split={split})"
        scores.append(BenchmarkScore(HARNESS, benchmark, metric, value))
    return scores


def _dataset_scores(path: Path, name: str, status: Any) -> Iterator[BenchmarkScore]:
    if not isinstance(status, dict):
        raise HarnessResultError(f"{path}: datasets.{name}: expected an object, found {status!r}")
    metrics = status.get("metrics") or {}
    primary = status.get("primary_metric")
    chosen = primary if isinstance(primary, list) else [primary] if primary else []
    values = {metric: _number(metrics.get(metric)) for metric in chosen}
    if not any(value is not None for value in values.values()):
        yield BenchmarkScore(HARNESS, name, "primary metric", None, reason=_reason(status))
        return
    for metric, value in values.items():
        reason = "" if value is not None else f"the status has no number for {metric}"
        yield BenchmarkScore(HARNESS, name, str(metric), value, reason=reason)


def _reason(status: Mapping[str, Any]) -> str:
    for name in ("error_message", "skip_reason"):
        if status.get(name):
            return str(status[name])
    reached = status.get("status")
    return "no primary metric was written" if reached == _DONE else f"not finished: {reached}"


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _object(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessResultError(f"{path}: cannot be read as VLMEvalKit results: {error}") from None
    if not isinstance(record, dict):
        raise HarnessResultError(f"{path}: expected a JSON object, found {type(record).__name__}")
    return record


def _csv_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise HarnessResultError(f"{path}: cannot be read as VLMEvalKit results: {error}") from None
