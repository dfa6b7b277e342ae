"""The local files of tracking, and the data formats for a store."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files.json_lines import read_json_object, replacing
from eval.results.samples import Sample

HOME = "tracking.json"
"""File in a tracked folder: the id of its run, so that a resumed stage continues the same run."""
LOCAL_METRICS = "metrics.jsonl"
"""File in a tracked folder: all tracked numbers, one line per step."""


def read_home(home: Path) -> Mapping[str, Any]:
    """Return the store, the run id and the identity digest of a tracked folder; {} if it was not tracked."""
    known = read_json_object(home / HOME)
    return known if isinstance(known.get("run_id"), str) else {}


def keep_until(path: Path, step: int) -> None:
    """Drop the numbers of later steps, so that a resumed stage has each step once."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    with replacing(path) as file:
        file.writelines(line + "\n" for line in lines if _step(line) <= step)


def read_metric(folder: Path, name: str) -> dict[int, float]:
    """Return a number of a stage by step, such as "loss" or "rollouts/reward/mean"; {} where it was never logged.

    Args:
        folder: the stage's.
        name: as it is tracked.
    """
    path = folder / LOCAL_METRICS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    found = (json.loads(line) for line in lines if math.isfinite(_step(line)))
    return {int(each["step"]): float(each[name]) for each in found if name in each}


def sample_columns(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Return samples as the columns of a table: texts, scores, and the codes of the diagnostics."""
    columns = {name: [getattr(each, name) for each in samples] for name in ("id", "kind", "query", "response")}
    scores = dict.fromkeys(name for each in samples for name in each.scores)
    columns |= {name: [each.scores.get(name) for each in samples] for name in scores}
    return columns | {"diagnostics": [" ".join(found["code"] for found in each.diagnostics) for each in samples]}


def digest_of(value: Any) -> str:
    """Return sixteen hexadecimal digits that identify a value."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()[:16]


def plain(value: Any) -> Any:
    """Return a value as plain JSON and YAML types."""
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value, default=str))


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # an incomplete line after an interruption
        return float("inf")
