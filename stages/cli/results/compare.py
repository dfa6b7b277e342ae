"""`tritrace compare`: compares two runs, or the stages of one run, on the same prompts. Needs no torch."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.diagnostics import printable
from protocol.errors import UserError
from stages.cli.extras import need_scipy
from stages.cli.options import OutputFormat
from stages.cli.terminal import plain_console

if TYPE_CHECKING:
    from eval.results.comparison import Change, Comparison
    from eval.results.metrics import Seeds

MAX_SHOWN = 20
"""Default number of samples with a changed side in the output; JSON lists all."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    run_a: Annotated[str, typer.Argument(help="a run, seed, stage or samples.jsonl; RUN:sft is one stage of it")],
    run_b: Annotated[
        str | None, typer.Argument(help="the second run; by default each stage is compared with the one before")
    ] = None,
    side: Annotated[str, typer.Option("--by", help="sides of samples: outcome, or a metric")] = "outcome",
    show: Annotated[int, typer.Option(min=0, help="number of samples with a changed side to list")] = MAX_SHOWN,
    output: Annotated[OutputFormat, typer.Option("--format", help="text, or one JSON object")] = OutputFormat.TEXT,
) -> None:
    """Compare two runs, or the stages of one, on the same prompts: paired differences with intervals and tests.

    Exit 0: no metric is significantly worse; 1: one is (p below 0.05 after Holm's correction); 2: wrong usage.
    """
    need_scipy()
    from eval.results.comparison import compare as compare_samples
    from eval.results.runs import read_run

    first = read_run(run_a)
    pairs = _stage_pairs(first) if run_b is None else _run_pairs(first, read_run(run_b), (run_a, run_b))
    found = [compare_samples(before, after, names=names, side=side) for names, before, after in pairs]
    if output is OutputFormat.JSON:
        typer.echo(json.dumps({"side": side, "comparisons": [each.to_json() for each in found]}, ensure_ascii=False))
    else:
        console = plain_console()
        for each in found:
            _print_comparison(console, each, show)
    raise typer.Exit(1 if any(each.has_worsened for each in found) else 0)


def _stage_pairs(stages: "Mapping[str, Seeds]") -> "list[tuple[tuple[str, str], Seeds, Seeds]]":
    if len(stages) < 2:
        raise UserError(f"compare: only {', '.join(stages)} was evaluated there; give a second run")
    return [((before, after), stages[before], stages[after]) for before, after in pairwise(stages)]


def _run_pairs(
    first: "Mapping[str, Seeds]", second: "Mapping[str, Seeds]", names: tuple[str, str]
) -> "list[tuple[tuple[str, str], Seeds, Seeds]]":
    """Pair the stages of two runs by name; two single stages are paired regardless of their names."""
    if len(first) == len(second) == 1:
        return [(names, next(iter(first.values())), next(iter(second.values())))]
    shared = [stage for stage in first if stage in second]
    if not shared:
        raise UserError(
            f"compare: the runs share no stage ({', '.join(first)} and {', '.join(second)}); name one, as in RUN:sft"
        )
    return [((f"{names[0]}:{stage}", f"{names[1]}:{stage}"), first[stage], second[stage]) for stage in shared]


def _print_comparison(console: Console, found: "Comparison", show: int) -> None:
    from eval.results.table import metric_title

    unpaired = f", {found.num_unpaired} answered by one only left out" if found.num_unpaired else ""
    size = f"{found.num_prompts} prompts × {found.num_seeds} seed{'s' * (found.num_seeds > 1)}{unpaired}"
    console.print(Text(f"{printable(found.before)} → {printable(found.after)}: {size}", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("metric", "before", "after", "difference [95 %]", "up / down", "p", "p (Holm)", ""):
        table.add_column(heading, justify="left" if heading in {"metric", ""} else "right", no_wrap=heading != "metric")
    for change in found.changes:
        style, word = {None: ("", ""), True: ("green", "better"), False: ("red", "worse")}[change.is_better]
        table.add_row(metric_title(change.metric), *_change_cells(change), Text(word, style=style))
    console.print(table)
    swings = found.swings
    better, worse = (sum(each.is_better is wanted for each in swings) for wanted in (True, False))
    console.print(f"{len(swings)} changed sides: {better} for the better, {worse} for the worse")
    shown = sorted(swings, key=lambda each: each.is_better is not False)[:show]  # worse ones first
    for each in shown:
        sign = {None: " ", True: "+", False: "-"}[each.is_better]
        line = f"{sign} {each.id}  {each.before} → {each.after}  ({each.kind}: {each.query[:60]})"
        console.print(Text(printable(line)), soft_wrap=True)
    if len(swings) > len(shown):
        console.print(f"  and {len(swings) - len(shown)} more; --show, or --format json for all")
    console.print()


def _change_cells(change: "Change") -> list[str]:
    from eval.results.table import format_number, format_p, format_signed

    digits, difference = (1 if change.metric.unit == "%" else 2), change.difference
    values = [
        "–" if each.value is None else format_number(each.value, digits) for each in (change.before, change.after)
    ]
    if difference.value is None or difference.low is None or difference.high is None:
        interval = "–"
    else:
        value, low, high = (format_signed(each, digits) for each in (difference.value, difference.low, difference.high))
        interval = f"{value} [{low}, {high}]"
    if difference.num_unscored and difference.least is not None and difference.most is not None:
        bounds = " to ".join(format_signed(each, digits) for each in (difference.least, difference.most))
        interval += f"\n({difference.num_unscored} unscored: {bounds})"
    p_values = ["–" if p is None else format_p(p) for p in (difference.p_value, change.p_adjusted)]
    return [*values, interval, f"{difference.num_up} / {difference.num_down}", *p_values]
