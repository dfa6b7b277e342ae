"""What tracking keeps in a folder of its own, and the forms in which it hands things to a store."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files import read_json_object, replacing
from eval.results.samples import Sample

HOME = "tracking.json"
"""In the folder of what is tracked: which run it is, so that what is resumed continues it."""
LOCAL_METRICS = "metrics.jsonl"
"""There too: every number that was tracked, a step a line."""


def read_home(home: Path) -> Mapping[str, Any]:
    """Return the store, the run and the digest of what a folder was tracked as; {} where it was not."""
    known = read_json_object(home / HOME)
    return known if isinstance(known.get("run_id"), str) else {}


def keep_until(path: Path, step: int) -> None:
    """Drop the numbers of later steps, so that those of a resumed stage stand there once."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    with replacing(path) as file:
        file.writelines(line + "\n" for line in lines if _step(line) <= step)


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
    """Return a value as JSON and YAML have it."""
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value, default=str))


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # the line that an interruption cut
        return float("inf")
