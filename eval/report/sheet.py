"""The report's charts as one SVG that needs no page around it, for a notebook or a file."""

import re
from collections.abc import Sequence

from markupsafe import Markup

from eval.report.plots import HEIGHT, WIDTH, Chart
from eval.report.templating import environment, source

GAP, TITLE = 16, 28
"""Between charts, and above each one for its title; in units of the drawing."""


def svg_sheet(charts: Sequence[Chart], *, columns: int = 3, kind: str = "") -> str:
    """Return charts in rows, on white paper and in the colours that the report has by day.

    Args:
        charts: at least one.
        columns: most charts in a row.
        kind: "" for stages, "steps" for curves over training steps, "balance" for one number against another.
    """
    across = min(columns, len(charts))
    places = [
        (GAP + column * (WIDTH + GAP), TITLE + row * (HEIGHT + TITLE), chart)
        for row, column, chart in ((*divmod(index, across), chart) for index, chart in enumerate(charts))
    ]
    return environment().get_template("sheet.svg.j2").render(
        kind=kind,
        places=places,
        width=GAP + across * (WIDTH + GAP),
        height=max(top for _, top, _ in places) + HEIGHT,
        style=Markup(_style()),  # noqa: S704 -- our own file
    )  # fmt: skip


def _style() -> str:
    """Return the style of drawings with the page's colours by day, which come first in its style."""
    colours = re.search(r":root \{(.*?)\}", source("style.css"), re.DOTALL)
    assert colours is not None  # noqa: S101 -- a test draws a sheet
    own = ".chart .ground { fill: var(--card); } .chart .title { fill: var(--ink); font-size: 13px; font-weight: 600; }"
    return f".chart {{ {colours[1].strip()} font-family: system-ui, sans-serif; }}\n{source('chart.css')}{own}"
