"""Writes the metrics of the stages as tables: for the terminal, and as Markdown for the README.

Rows and their order come from `eval.results.metrics.METRICS`; nothing is computed here.
"""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from eval.results.comparison import Change
from eval.results.metrics import METRICS, Direction, Metric, metric_by_name
from eval.statistics.intervals import Estimate

EstimatesByStage = Mapping[str, Mapping[str, Estimate]]
"""`eval.results.metrics.estimates` of each stage, in the order of the curriculum."""

WIDE = 110
"""From this number of columns, a value and its interval are on one line."""

_ARROW = {Direction.HIGHER: "↑", Direction.LOWER: "↓"}
CAPTION = "Mean [95 % interval]; ↑ higher is better, ↓ lower is better; n is prompts × training seeds."


def terminal_table(stages: EstimatesByStage, *, width: int = WIDE) -> Table:
    """Return the table for a terminal of `width` columns; a narrow terminal gets two lines for each row."""
    is_wide = width >= WIDE
    table = Table(title="Metrics by stage", caption=CAPTION, caption_justify="left", box=box.SIMPLE_HEAD)
    table.padding = (0, 1) if is_wide else 0
    table.add_column("metric", overflow="fold")
    for stage in stages:
        table.add_column(stage_title(stage), justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for metric in METRICS:
        cells = [format_estimate(group[metric.name], metric, " " if is_wide else "\n") for group in stages.values()]
        count = format_count(stages, metric.name)
        table.add_row(metric_title(metric), *cells, count if is_wide else count.replace(" × ", "\n× "))
    return table


def group_table(title: str, groups: Mapping[str, Mapping[str, Estimate]], metrics: Sequence[str]) -> Table:
    """Return a table with a row for each group, such as a quadrant or a benchmark, and a column for each metric."""
    table = Table(title=title, caption=CAPTION, caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    for name in metrics:
        table.add_column(metric_title(metric_by_name[name]), justify="right")
    for group, found in groups.items():
        cells = [format_estimate(found[name], metric_by_name[name], "\n") for name in metrics]
        table.add_row(group, str(max(found[name].n + found[name].num_unscored for name in metrics)), *cells)
    return table


def group_markdown(groups: Mapping[str, Mapping[str, Estimate]], metrics: Sequence[str]) -> str:
    """Return the table of groups as GitHub Markdown."""
    header = ["", "n", *(metric_title(metric_by_name[name]) for name in metrics)]
    rows = [
        [
            group,
            str(max(found[name].n + found[name].num_unscored for name in metrics)),
            *(format_estimate(found[name], metric_by_name[name]) for name in metrics),
        ]
        for group, found in groups.items()
    ]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)), "", CAPTION, ""])


def to_markdown(stages: EstimatesByStage) -> str:
    """Return the table as GitHub Markdown."""
    header = ["metric", *map(stage_title, stages), "n"]
    rows = [
        [
            metric_title(metric),
            *(format_estimate(group[metric.name], metric) for group in stages.values()),
            format_count(stages, metric.name),
        ]
        for metric in METRICS
    ]
    rule = ["---", *["---:"] * (len(header) - 1)]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
    return "\n".join([*lines, "", CAPTION, ""])


def stage_title(stage: str) -> str:
    """Return the displayed name of a stage: "base", "SFT"."""
    return stage if stage == "base" else stage.upper()


def metric_title(metric: Metric) -> str:
    """Return the title, with the unit if it is percent, and the better direction."""
    unit = " %" if metric.unit == "%" else ""
    return f"{metric.title}{unit} {_ARROW[metric.direction]}"


def format_estimate(each: Estimate, metric: Metric, separator: str = " ") -> str:
    """Format `value [low, high]`, and the number of responses that could not be judged.

    >>> from eval.results.metrics import metric_by_name
    >>> estimate = Estimate(value=97.5, low=94.13, high=99.0, n=200, num_seeds=1, num_unscored=3)
    >>> format_estimate(estimate, metric_by_name["validity"])
    '97.5 [94.1, 99.0] (3 unscored)'
    """
    unscored = f"{separator}({each.num_unscored} unscored)" if each.num_unscored else ""
    if each.value is None or each.low is None or each.high is None:
        return f"–{unscored}"
    digits = 1 if metric.unit == "%" else 2
    value, low, high = (format_number(number, digits) for number in (each.value, each.low, each.high))
    return f"{value}{separator}[{low}, {high}]{unscored}"


def format_number(number: float, digits: int) -> str:
    """Format a number with a true minus sign and without a negative zero."""
    return f"{round(number, digits) + 0.0:.{digits}f}".replace("-", "−")


def format_signed(number: float, digits: int) -> str:
    """Format a difference with its sign.

    >>> format_signed(1.25, 1), format_signed(-0.04, 1)
    ('+1.2', '0.0')
    """
    text = format_number(number, digits)
    return f"+{text}" if round(number, digits) > 0 else text


def format_p(p: float) -> str:
    """Format a p value.

    >>> format_p(0.0321), format_p(0.00004)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_change(change: Change, *, with_p: bool = True) -> str:
    """Format a paired difference with its interval, and its p value after Holm's correction."""
    found, digits = change.difference, 1 if change.metric.unit == "%" else 2
    if found.value is None or found.low is None or found.high is None:
        return "–"
    low, high = format_number(found.low, digits), format_number(found.high, digits)
    p = "" if change.p_adjusted is None or not with_p else f", p {format_p(change.p_adjusted)}"
    return f"{format_signed(found.value, digits)} [{low}, {high}]{p}"


def format_count(stages: EstimatesByStage, name: str) -> str:
    """Format the prompts and seeds behind a row: one number if the stages agree, and otherwise the range.

    >>> size = Estimate(value=0.0, low=0.0, high=1.9, n=200, num_seeds=3, num_unscored=0)
    >>> format_count({"sft": {"validity": size}, "dpo": {"validity": size}}, "validity")
    '200 × 3'
    """
    sizes = [(group[name].n, group[name].num_seeds) for group in stages.values() if group[name].n]
    if not sizes:
        return "0"
    prompts, seeds = zip(*sizes, strict=True)
    return f"{_span(prompts)} × {_span(seeds)}"


def _span(counts: tuple[int, ...]) -> str:
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)}-{max(counts)}"
