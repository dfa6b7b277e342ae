"""The summary of a check as one HTML page that asks nothing of the network: plots, lengths, and the first faults.

What rows say is shown as text and never becomes part of the page's structure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from data.checks.counts import TRAITS, Counts
from data.checks.facts import WARNINGS
from data.checks.index import SharedFault
from data.checks.run import Check, summary_of
from data.files.json_lines import replacing

MAX_BARS = 24
"""Values that a plot shows; the rest are one bar."""
MAX_FAULTS = 200
"""Faults that the page lists; all are counted."""
BAR_WIDTH = 260
"""Units of the longest bar of a plot."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a plot."""

    label: str
    count: int
    width: float
    """In units of the drawing, up to `BAR_WIDTH`."""
    share: float
    """Of the plot's rows, in percent."""
    by_file: str
    """The same by file, in words."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars of one trait."""

    title: str
    bars: tuple[Bar, ...]


def write_page(path: Path, check: Check, faults: Sequence[SharedFault]) -> None:
    """Write the page of a finished check.

    Args:
        path: the HTML file.
        check: the check.
        faults: what it found, of which the first `MAX_FAULTS` are listed.
    """
    counts = check.counts
    with replacing(path) as file:
        file.write(
            _environment()
            .get_template("page.html.j2")
            .render(
                title=check.root.resolve().name,
                summary=summary_of(check),
                is_clean=check.exit_code == 0,
                rows=sorted(counts.rows.items()),
                plots=plots(counts),
                gaps=counts.length_gaps(),
                fault_counts=sorted(counts.faults.items()),
                warnings=WARNINGS,
                faults=faults[:MAX_FAULTS],
                num_faults=counts.faults.total(),
                bar_width=BAR_WIDTH,
            )
        )


def plots(counts: Counts) -> list[Plot]:
    """Return a plot of every trait that some row has."""
    return [
        Plot(title, bars)
        for trait, title in TRAITS.items()
        if (bars := _bars([(value, dict(files)) for value, files in counts.balance(trait)]))
    ]


def _bars(values: list[tuple[str, dict[str, int]]]) -> tuple[Bar, ...]:
    shown, rest = values[:MAX_BARS], values[MAX_BARS:]
    if rest:
        others: dict[str, int] = {}
        for _, files in rest:
            for file, count in files.items():
                others[file] = others.get(file, 0) + count
        shown = [*shown, (f"{len(rest)} others", others)]
    totals = [sum(files.values()) for _, files in shown]
    longest, everything = max(totals, default=0), sum(totals)
    return tuple(
        Bar(
            label,
            total,
            round(BAR_WIDTH * total / longest, 1),
            100 * total / everything,
            ", ".join(f"{Path(file).name} {count:,}" for file, count in sorted(files.items())),
        )
        for (label, files), total in zip(shown, totals, strict=True)
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("data.checks"),
        autoescape=True,  # rows of other people are on this page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
