"""Writes the results of other harnesses as a table: for the report, and as Markdown."""

from collections.abc import Sequence

from eval.harness.scores import BenchmarkRow, Pooled
from eval.results.table import stage_title

BENCHMARK_CAPTION = "As each harness reports it [95 % interval from its standard error, where it states one]."


def benchmarks_to_markdown(rows: Sequence[BenchmarkRow], stages: Sequence[str]) -> str:
    """Return the table as GitHub Markdown."""
    lines = [["benchmark", *map(stage_title, stages)], ["---", *["---:"] * len(stages)]]
    lines += [[benchmark_title(row), *(format_benchmark(row.by_stage.get(stage)) for stage in stages)] for row in rows]
    table = [f"| {' | '.join(map(_cell, line))} |" for line in lines]
    return "\n".join([*table, "", BENCHMARK_CAPTION, ""])


def _cell(text: str) -> str:
    """Return a text that cannot end a Markdown cell: the names come from another program."""
    return text.replace("|", "\\|").replace("\n", " ")


def benchmark_title(row: BenchmarkRow) -> str:
    """Return harness, benchmark and metric, with the better direction if the harness states it."""
    arrow = {True: " ↑", False: " ↓", None: ""}[row.is_higher_better]
    return f"{row.harness}: {row.benchmark}, {row.metric}{arrow}"


def format_benchmark(found: Pooled | None) -> str:
    """Format the number of one stage.

    >>> format_benchmark(Pooled(value=0.5, low=0.13, high=0.87, n=8, num_seeds=1)), format_benchmark(None)
    ('0.5 [0.13, 0.87] n 8', '–')
    """
    if found is None:
        return "–"
    if found.value is None:
        return f"– ({found.reason})" if found.reason else "–"
    interval = "" if found.low is None or found.high is None else f" [{_number(found.low)}, {_number(found.high)}]"
    size = "" if found.n is None else f" n {found.n}"
    seeds = f" × {found.num_seeds} seeds" if found.num_seeds > 1 else ""
    return f"{_number(found.value)}{interval}{size}{seeds}"


def _number(value: float) -> str:
    """Format a number of unknown scale.

    >>> _number(0.72164), _number(-1432.5)
    ('0.7216', '−1432.5')
    """
    return (f"{value:.1f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "−")
