"""The files of a record of rollouts: one that grows, and those put aside because they were large enough.

`rollouts.jsonl` is the newest; `rollouts.0001.jsonl` the oldest. Needs no torch: reports read them too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data.files import replacing

_NAME = "rollouts.jsonl"


class RolloutFiles:
    """Lines appended to a record that is cut into files, and cut back to where training is taken up."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Take what is there.

        Args:
            path: the newest file.
            max_bytes: size from which it is put aside before more is appended; a step is never split.
        """
        self.path = path
        self.max_bytes = max_bytes

    def append(self, rollouts: Iterable[Mapping[str, Any]]) -> None:
        """Write the rollouts of a step."""
        if self.path.exists() and self.path.stat().st_size >= self.max_bytes:
            aside = len(_put_aside(self.path)) + 1
            self.path.rename(self.path.with_suffix(f".{aside:04d}{self.path.suffix}"))
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(rollout, ensure_ascii=False) + "\n" for rollout in rollouts)

    def keep_before(self, step: int) -> None:
        """Drop the rollouts of a step and later ones, so that a resumed record equals an uninterrupted one."""
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
    """Return the files of a stage's record, the oldest first."""
    newest = folder / _NAME
    return [*_put_aside(newest), *([newest] if newest.exists() else [])]


def read_rollouts(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rollouts of a stage's folder in the order they were written; a line that was cut is left out."""
    for path in rollout_paths(folder):
        yield from filter(None, map(_parsed, _lines(path)))


def _put_aside(newest: Path) -> list[Path]:
    return sorted(newest.parent.glob(f"{newest.stem}.[0-9][0-9][0-9][0-9]{newest.suffix}"))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from file


def _parsed(line: str) -> dict[str, Any] | None:
    """Return a rollout; None for a line that an interruption cut, or that is not a rollout for another reason."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_number(found.get("step")) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
