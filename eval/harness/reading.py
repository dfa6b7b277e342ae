"""Finds the result files of harnesses below a folder; if two files report the same number, the later file counts."""

from collections.abc import Iterator
from pathlib import Path

from eval.harness.lm_eval_results import is_lm_eval_file, read_lm_eval
from eval.harness.scores import BenchmarkScore
from eval.harness.vlmeval_results import STATUS, read_vlmeval, read_vlmeval_table, score_tables

FOLDER = "harness"
"""Folder, in a stage's folder, for the results of `tritrace harness`."""


def read_results(path: Path) -> list[BenchmarkScore]:
    """Return every number that harnesses wrote at or below a path; [] if there is none.

    Raises:
        HarnessResultError: a result file cannot be read, or does not have the harness's schema.
    """
    found: dict[tuple[str, str, str], BenchmarkScore] = {}
    for score in _scores(path):
        found[score.key] = score
    return [found[key] for key in sorted(found)]


def _scores(path: Path) -> Iterator[BenchmarkScore]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in sorted(files, key=_age):
        if is_lm_eval_file(file):
            yield from read_lm_eval(file)
    statuses = [file for file in files if file.name == STATUS]
    for file in sorted(statuses, key=_age):
        yield from read_vlmeval(file)
    # Older versions of VLMEvalKit write a table for each benchmark, and no status.
    for file in sorted(score_tables(files, {status.parent for status in statuses}), key=_age):
        yield from read_vlmeval_table(file)


def _age(file: Path) -> tuple[float, str]:
    return (file.stat().st_mtime, str(file))
