"""Reads stored samples with this stance detector and with an older one, and lists the answers with different results.

    git worktree add ../before COMMIT
    python -m eval.refusals.rescore --before ../before runs/*/*/eval/samples.jsonl

Rewards, scores and C403 use the result of the rules (`Stance.ruled`). If it is the same for every stored answer, no
table of these samples can change.
"""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.results.samples import read_samples
from protocol import Plan, diagnose
from protocol.errors import UserError
from protocol.stance import read_stance

_READ_THERE = """
import json, sys
from protocol.stance import read_stance
found = map(read_stance, json.load(sys.stdin))
json.dump([getattr(each, "ruled", each).decision.value for each in found], sys.stdout)
"""
"""Run by the other version; older ones have no model beside their rules."""
_MAX_ERROR = 400
_MAX_SHOWN = 300
"""Characters of a message, and of an answer, that are shown."""


def answers_of(paths: Iterable[Path]) -> Counter[str]:
    """Return how often each answer was given in files of samples.

    Raises:
        RowsError: a file is missing or has a line that is not a sample.
    """
    return Counter(
        diagnose(sample.response, Plan.from_json(sample.plan)).reading.visible_answer
        for path in paths
        for sample in read_samples(path)
    )


def decisions(answers: Iterable[str]) -> list[str]:
    """Return what each answer does, by the rules."""
    return [read_stance(answer).ruled.decision.value for answer in answers]


def decisions_of(checkout: Path, answers: Sequence[str]) -> list[str]:
    """Return what each answer does by the rules of another version of this repository.

    Raises:
        UserError: the folder holds no version that can be asked.
    """
    if not (checkout / "protocol" / "stance").is_dir():
        raise UserError(f"{checkout}: expected a checkout of this repository, with protocol/stance")
    done = subprocess.run(  # noqa: S603 - the interpreter that runs this, and a program written here
        [sys.executable, "-c", _READ_THERE],
        cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout.resolve())}, input=json.dumps(answers),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{checkout}: its detector cannot be asked: {done.stderr[-_MAX_ERROR:]}")
    found: list[str] = json.loads(done.stdout)
    return found


def changes(counts: Counter[str], before: Sequence[str], now: Sequence[str]) -> Table:
    """Return a row an answer that is read in another way, the most frequent first."""
    made = Table("samples", "before", "now", "answer", title_justify="left", show_lines=True)
    differing = [
        (count, old, new, answer)
        for (answer, count), old, new in zip(counts.items(), before, now, strict=True)
        if old != new
    ]
    for count, old, new, answer in sorted(differing, reverse=True):
        made.add_row(str(count), old, new, answer[:_MAX_SHOWN])
    num_samples = sum(count for count, *_ in differing)
    made.title = (
        f"{len(differing)} of {len(counts)} different answers are read in another way, "
        f"{num_samples} of {counts.total()} samples"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the changes; return the exit status."""
    parser = ArgumentParser(prog="python -m eval.refusals.rescore", description="which stored answers are read anew")
    parser.add_argument("samples", nargs="+", type=Path, metavar="SAMPLES", help="eval/samples.jsonl of a stage")
    parser.add_argument("--before", required=True, type=Path, metavar="FOLDER", help="a checkout of an older version")
    options = parser.parse_args(arguments)
    try:
        counts = answers_of(options.samples)
        before = decisions_of(options.before, list(counts))
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a module that is run speaks on its streams
        return 2
    Console(width=None if sys.stdout.isatty() else 140, markup=False).print(changes(counts, before, decisions(counts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
