"""The files of recorded rollouts: a growing file, and older files that reached the maximum size.

`rollouts.jsonl` is the newest file and `rollouts.0001.jsonl` the oldest. This module needs no torch, because reports
use it too.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data.files.json_lines import replacing
from data.files.numbers import is_finite_number

_NAME = "rollouts.jsonl"


class RolloutFiles:
    """Appends lines to the record, which is split into files, and removes lines after the step of a resume."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open the record.

        Args:
            path: the newest file.
            max_bytes: from this size, the file is renamed before more is appended; a step is never split.
        """
        self.path = path
        self.max_bytes = max_bytes

    def append(self, rollouts: Iterable[Mapping[str, Any]]) -> None:
        """Append the rollouts of a step."""
        if self.path.exists() and self.path.stat().st_size >= self.max_bytes:
            aside = len(_put_aside(self.path)) + 1
            self.path.rename(self.path.with_suffix(f".{aside:04d}{self.path.suffix}"))
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(rollout, ensure_ascii=False) + "\n" for rollout in rollouts)

    def keep_before(self, step: int) -> None:
        """Drop rollouts from this step on, so that the record of a resumed run equals that of an uninterrupted one."""
        paths = [*_put_aside(self.path), *([self.path] if self.path.exists() else [])]
        while paths:
            newest = paths.pop()
            kept = [line for line in _lines(newest) if (rollout := _parsed(line)) and rollout["step"] < step]
            if kept or not paths:
                with replacing(newest) as file:
                    file.writelines(kept)
                newest.rename(self.path)
                return
            newest.unlink()


def rollout_paths(folder: Path) -> list[Path]:
    """Return the files of a stage's record, oldest first."""
    newest = folder / _NAME
    return [*_put_aside(newest), *([newest] if newest.exists() else [])]


def read_rollouts(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rollouts in a stage's folder in their order; incomplete lines are left out."""
    for path in rollout_paths(folder):
        yield from filter(None, map(_parsed, _lines(path)))


def rollout_groups(folder: Path) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """Return the scored rollouts of a stage's folder by step and prompt: what the advantages are relative to.

    Unscored rollouts are left out, for they have no advantage.
    """
    groups: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for rollout in read_rollouts(folder):
        if is_finite_number(rollout.get("reward")) and is_finite_number(rollout.get("advantage")):
            groups[rollout["step"], str(rollout.get("id"))].append(rollout)
    return dict(groups)


def _put_aside(newest: Path) -> list[Path]:
    return sorted(newest.parent.glob(f"{newest.stem}.[0-9][0-9][0-9][0-9]{newest.suffix}"))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from file


def _parsed(line: str) -> dict[str, Any] | None:
    """Return a rollout; None for a line that is incomplete or not a rollout."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and is_finite_number(found.get("step")) else None
