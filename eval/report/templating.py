"""Loads the templates of the report, and formats the numbers in them."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from eval.harness.table import benchmark_title, format_benchmark
from eval.results.comparison import Change
from eval.results.metrics import Metric
from eval.results.table import (
    format_count,
    format_estimate,
    format_number,
    format_p,
    format_signed,
    metric_title,
    stage_title,
)
from eval.statistics.intervals import Estimate


def unscored_note(each: Estimate, metric: Metric) -> str:
    """State the number of unscored responses, and the lowest and highest possible mean; "" if there are none."""
    if not each.num_unscored or each.least is None or each.most is None:
        return ""
    digits = 1 if metric.unit == "%" else 2
    least, most = (format_number(value, digits) for value in (each.least, each.most))
    return f"{each.num_unscored} unscored: {least} to {most}"


def change_cell(change: Change) -> tuple[str, str, str]:
    """Return a difference, its interval and its p value, formatted for the page."""
    found, digits = change.difference, 1 if change.metric.unit == "%" else 2
    if found.value is None or found.low is None or found.high is None:
        return "–", "", ""
    value, low, high = (format_signed(number, digits) for number in (found.value, found.low, found.high))
    p = change.p_adjusted
    return value, f"[{low}, {high}]", "" if p is None else f"p {format_p(p)}"


@cache
def environment() -> Environment:
    """Return the environment of the templates; an undefined name in a template is an error."""
    made = Environment(
        loader=PackageLoader("eval.report"),
        autoescape=True,  # model text is on this page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"sort_keys": False}  # stages come in the order of the curriculum
    made.filters.update(stage=stage_title, metric=metric_title)
    made.globals.update(
        format_estimate=format_estimate,
        format_count=format_count,
        unscored_note=unscored_note,
        change_cell=change_cell,
        benchmark_title=benchmark_title,
        format_benchmark=format_benchmark,
    )
    return made


def source(name: str) -> str:
    """Return the text of a file in the folder of the templates, such as a style or a script."""
    return files("eval.report").joinpath("templates", name).read_text(encoding="utf-8")
