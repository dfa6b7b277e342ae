"""Reads `results_*.json` of lm-evaluation-harness (schema from the source and the output of 0.4.13).

`results` has an object for each task: a number under "METRIC,FILTER", and its standard error under
"METRIC_stderr,FILTER", which is "N/A" if there is none. `versions`, `n-samples` and `higher_is_better` have further
values for each task.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.harness.errors import HarnessResultError
from eval.harness.scores import BenchmarkScore

HARNESS = "lm-eval"
_NAME = re.compile(r".*_\d{4}-\d{2}-\d{2}T[\d.-]+\.json|results\.json")
_NO_FILTER = "none"
_STDERR = "_stderr"


def is_lm_eval_file(path: Path) -> bool:
    """Whether a file has the name of a result file."""
    return bool(_NAME.fullmatch(path.name))


def read_lm_eval(path: Path) -> list[BenchmarkScore]:
    """Return every number of a result file; tasks without a number, such as a group without an aggregate, are left out.

    Raises:
        HarnessResultError: the file cannot be read or has no such results.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessResultError(f"{path}: cannot be read as lm-eval results: {error}") from None
    results = record.get("results") if isinstance(record, dict) else None
    if not isinstance(results, dict):
        raise HarnessResultError(f"{path}: results: expected an object of tasks, as lm-eval writes it")
    return [score for task, numbers in results.items() for score in _task_scores(path, record, task, numbers)]


def _task_scores(path: Path, record: Mapping[str, Any], task: str, numbers: Any) -> Iterator[BenchmarkScore]:
    if not isinstance(numbers, dict):
        raise HarnessResultError(f"{path}: results.{task}: expected an object of metrics, found {numbers!r}")
    version = _of_task(record, "versions", task)
    samples = _of_task(record, "n-samples", task)
    higher = _of_task(record, "higher_is_better", task)
    for name, value in numbers.items():
        metric, comma, kept = name.partition(",")
        if not comma or metric.endswith(_STDERR):
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        error = numbers.get(f"{metric}{_STDERR},{kept}")
        direction = higher.get(metric) if isinstance(higher, dict) else None
        yield BenchmarkScore(
            HARNESS,
            f"{task} (version {version:g})" if isinstance(version, (int, float)) else task,
            metric if kept == _NO_FILTER else f"{metric} ({kept})",
            float(value) if is_number else None,
            float(error) if isinstance(error, (int, float)) else None,
            samples.get("effective") if isinstance(samples, dict) else None,
            direction if isinstance(direction, bool) else None,
            "" if is_number else f"the harness reports {value!r}",
        )


def _of_task(record: Mapping[str, Any], name: str, task: str) -> Any:
    by_task = record.get(name)
    return by_task.get(task) if isinstance(by_task, dict) else None
