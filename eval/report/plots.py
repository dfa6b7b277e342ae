"""Computes the geometry of the report's plots: from numbers to positions; `templates/chart.svg.j2` draws them.

The report uses no plotting library. So text stays text, colours follow the reader's light or dark mode through CSS, and
a plot has two kilobytes.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count

from eval.results.metrics import metric_by_name
from eval.results.summary import StageSummary
from eval.results.table import EstimatesByStage, format_estimate, format_number, metric_title, stage_title
from eval.statistics.intervals import Estimate

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 288, 14, 152
"""The frame around the data, in units of the drawing; y grows downwards."""

PROGRESS = (
    "attack_success",
    "over_refusal",
    "general_ability",
    "validity",
    "safety",
    "helpfulness",
    "rigor",
    "decision",
)
"""Metrics with a plot by stage."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to positions."""

    low: float
    high: float
    start: float
    """Position of `low`."""
    end: float
    """Position of `high`."""

    def __call__(self, value: float) -> float:
        """Return the position of a value, to a tenth of a unit."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with its intervals and its label."""

    stage: int
    """Index of the stage, which decides the colour."""
    x: float
    y: float
    label: str
    """Text beside the point; "" for none."""
    xs: tuple[float, float] | None = None
    """Ends of the horizontal interval."""
    ys: tuple[float, float] | None = None
    """Ends of the vertical interval."""
    whisker: tuple[float, float] | None = None
    """Ends of a thin line beyond the interval."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing of `WIDTH` by `HEIGHT` units."""

    title: str
    description: str
    """The content of the plot in words, for readers who cannot see it."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    path: tuple[tuple[float, float], ...] = ()
    """Corners of the line through the data."""
    trend: tuple[tuple[float, float], ...] = ()
    """Corners of a smoothed line over it."""
    marks: tuple[Mark, ...] = ()
    x_title: str = ""
    y_title: str = ""


def progress_charts(stages: EstimatesByStage) -> list[Chart]:
    """Plot each measured metric of `PROGRESS`, by stage."""
    measured = [name for name in PROGRESS if any(group[name].n for group in stages.values())]
    return [_progress_chart(name, {stage: group[name] for stage, group in stages.items()}) for name in measured]


def _progress_chart(name: str, estimates: Mapping[str, Estimate]) -> Chart:
    metric = metric_by_name[name]
    across = Scale(-0.5, len(estimates) - 0.5, LEFT, RIGHT)
    up = Scale(*metric.scale, BOTTOM, TOP)
    marks = [
        Mark(index, across(index), up(each.value), format_number(each.value, 1), ys=(up(each.low), up(each.high)))
        for index, each in enumerate(estimates.values())
        if each.value is not None and each.low is not None and each.high is not None
    ]
    words = [f"{stage_title(stage)} {format_estimate(each, metric)}" for stage, each in estimates.items()]
    return Chart(
        title=metric_title(metric),
        description="; ".join(words),
        x_ticks=tuple(Tick(across(index), stage_title(stage)) for index, stage in enumerate(estimates)),
        y_ticks=ticks(up, step=50),
        path=tuple((mark.x, mark.y) for mark in marks),
        marks=tuple(marks),
    )


def length_chart(summaries: Mapping[str, StageSummary]) -> Chart | None:
    """Plot the length of responses by stage: median, quartiles, and the 5th and 95th percentile."""
    lengths = {stage: each.lengths for stage, each in summaries.items() if each.lengths}
    if not lengths:
        return None
    order = list(summaries)
    across = Scale(-0.5, len(order) - 0.5, LEFT, RIGHT)
    top = max(each["p95"] for each in lengths.values())
    step = next(step for step in (10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 1_000_000) if top / step <= 4)
    up = Scale(0.0, step * math.ceil(top / step), BOTTOM, TOP)
    marks = [
        Mark(
            order.index(stage),
            across(order.index(stage)),
            up(each["p50"]),
            f"{each['p50']:.0f}",
            ys=(up(each["p25"]), up(each["p75"])),
            whisker=(up(each["p5"]), up(each["p95"])),
        )
        for stage, each in lengths.items()
    ]
    words = [
        f"{stage_title(stage)} {each['p50']:.0f} ({each['p5']:.0f} to {each['p95']:.0f})"
        for stage, each in lengths.items()
    ]
    return Chart(
        title="Length, tokens",
        description="median (5 to 95 %): " + "; ".join(words),
        x_ticks=tuple(Tick(across(index), stage_title(stage)) for index, stage in enumerate(order)),
        y_ticks=ticks(up, step=step),
        path=tuple((mark.x, mark.y) for mark in marks),
        marks=tuple(marks),
    )


def balance_chart(summaries: Mapping[str, StageSummary]) -> Chart | None:
    """Plot mean safety against mean helpfulness; None if the judge did not score both."""
    pairs = {
        stage: (each.estimates["safety_mean"], each.estimates["helpfulness_mean"]) for stage, each in summaries.items()
    }
    pairs = {stage: pair for stage, pair in pairs.items() if pair[0].n and pair[1].n}
    if not pairs:
        return None
    across = Scale(*_rounded_range(safety for safety, _ in pairs.values()), LEFT, RIGHT)
    up = Scale(*_rounded_range(helpfulness for _, helpfulness in pairs.values()), BOTTOM, TOP)
    order = list(summaries)
    marks = [_balance_mark(order.index(stage), stage, pair, across, up) for stage, pair in pairs.items()]
    safety, helpfulness = metric_by_name["safety_mean"], metric_by_name["helpfulness_mean"]
    words = [
        f"{stage_title(stage)}: safety {format_estimate(x, safety)}, helpfulness {format_estimate(y, helpfulness)}"
        for stage, (x, y) in pairs.items()
    ]
    return Chart(
        title="Safety against helpfulness",
        description="; ".join(words),
        x_ticks=ticks(across, step=tick_step(across)),
        y_ticks=ticks(up, step=tick_step(up)),
        path=tuple((mark.x, mark.y) for mark in marks),
        marks=tuple(marks),
        x_title="mean safety, -3 to 3 →",
        y_title="↑ mean helpfulness, 0 to 3",
    )


def _balance_mark(index: int, stage: str, pair: tuple[Estimate, Estimate], across: Scale, up: Scale) -> Mark:
    safety, helpfulness = (_bounds(each) for each in pair)
    return Mark(
        index,
        across(safety[1]),
        up(helpfulness[1]),
        stage_title(stage),
        xs=(across(safety[0]), across(safety[2])),
        ys=(up(helpfulness[0]), up(helpfulness[2])),
    )


def _bounds(each: Estimate) -> tuple[float, float, float]:
    if each.low is None or each.value is None or each.high is None:
        raise ValueError("an estimate without a value cannot be plotted")
    return each.low, each.value, each.high


def _rounded_range(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """Return the range of the intervals, widened to multiples of one half."""
    lows, _, highs = zip(*map(_bounds, estimates), strict=True)
    return math.floor(2 * min(lows)) / 2, math.ceil(2 * max(highs)) / 2


def tick_step(scale: Scale) -> float:
    """Return the step of 0.25, 0.5, or 1, 2 or 5 times a power of ten, that gives at most five ticks."""
    size = scale.high - scale.low
    whole = (number * 10.0**power for power in count() for number in (1, 2, 5))
    return next(step for step in chain((0.25, 0.5), whole) if size / step <= 4)


def ticks(scale: Scale, *, step: float) -> tuple[Tick, ...]:
    """Return a tick at every step from the low end on."""
    num_steps = int((scale.high - scale.low) / step + 1e-9)  # 0.15 / 0.05 is less than 3
    values = [scale.low + index * step for index in range(num_steps + 1)]
    return tuple(Tick(scale(value), f"{value:g}".replace("-", "−")) for value in values)
