"""`tritrace report`, `compare` and `agreement`: commands on finished evaluations. They need no torch."""

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.diagnostics import printable
from protocol.errors import UserError
from stages.cli.extras import need_scipy
from stages.cli.next_step import tell_next

if TYPE_CHECKING:
    from eval.results.comparison import Change, Comparison
    from eval.results.metrics import Seeds

WIDTH_OF_A_LOG = 120
MAX_SHOWN = 20
"""Default number of samples with a changed side in the output; JSON lists all."""


class Format(StrEnum):
    """The output format."""

    TEXT = "text"
    JSON = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(report)
    app.command()(compare)
    app.command()(agreement)


def report(
    run: Annotated[Path, typer.Argument(help="a run, one of its seeds, or the output of tritrace eval")],
    data: Annotated[Path | None, typer.Option(help="folder of the evaluated prompts, for their pictures")] = None,
    max_samples: Annotated[int, typer.Option(min=1, help="maximum prompts to show; numbers cover all")] = 1000,
) -> None:
    """Write report.html, report.json and table.md again, from the evaluations of a run."""
    need_scipy()
    from stages.results.reporting import rebuild_report

    typer.echo(f"report: {rebuild_report(run, images_root=data, max_samples=max_samples)}")
    tell_next("report", run)


def compare(
    run_a: Annotated[str, typer.Argument(help="a run, seed, stage or samples.jsonl; RUN:sft is one stage of it")],
    run_b: Annotated[
        str | None, typer.Argument(help="the second run; by default each stage is compared with the one before")
    ] = None,
    side: Annotated[str, typer.Option("--by", help="sides of samples: outcome, or a metric")] = "outcome",
    show: Annotated[int, typer.Option(min=0, help="number of samples with a changed side to list")] = MAX_SHOWN,
    output: Annotated[Format, typer.Option("--format", help="text, or one JSON object")] = Format.TEXT,
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
    if output is Format.JSON:
        typer.echo(json.dumps({"side": side, "comparisons": [each.to_json() for each in found]}, ensure_ascii=False))
    else:
        console = _console()
        for each in found:
            _print_comparison(console, each, show)
    raise typer.Exit(1 if any(each.has_worsened for each in found) else 0)


def agreement(
    judged: Annotated[Path, typer.Argument(help="samples.jsonl, labelled queries, or lines with an id and the score")],
    labels: Annotated[Path | None, typer.Option(help="the truth: such a file, by people or another judge")] = None,
    repeat: Annotated[list[Path] | None, typer.Option(help="a second run of the same judge; may be repeated")] = None,
    score: Annotated[str, typer.Option(help="which score")] = "safety",
    output: Annotated[Format, typer.Option("--format", help="text, or one JSON object")] = Format.TEXT,
) -> None:
    """Measure a judge: agreement with labels (accuracy, Cohen's kappa), and with itself over repeats."""
    need_scipy()
    from eval.statistics.agreement import agreement as agree
    from eval.statistics.agreement import read_scores, stability

    if labels is None and not repeat:
        raise UserError("agreement: give --labels FILE, or --repeat FILE, or both")
    scores = read_scores(judged, score)
    record: dict[str, Any] = {"score": score}
    if labels is not None:
        truth = read_scores(labels, score)
        if not set(scores) & set(truth):
            raise UserError(f"agreement: {judged} and {labels} have no id in common; the labels are of other items")
        record["agreement"] = agree(scores, truth).to_json()
    if repeat:
        record["stability"] = stability([scores, *(read_scores(path, score) for path in repeat)]).to_json()
    if output is Format.JSON:
        typer.echo(json.dumps(record))
    else:
        _print_agreement(_console(), record)


def _console() -> Console:
    is_terminal = sys.stdout.isatty()
    return Console(highlight=False, width=None if is_terminal else WIDTH_OF_A_LOG)


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


def _print_agreement(console: Console, record: Mapping[str, Any]) -> None:
    table = Table(title=f"Judged {record['score']}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("measure", "value", "95 %", "n", "unscored"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    if found := record.get("agreement"):
        table.add_row("equal to the label, %", *_estimate_cells(found["accuracy"]))
        for name, title in (("kappa", "Cohen's kappa"), ("weighted_kappa", "  quadratic weights")):
            table.add_row(title, *_estimate_cells(found[name] | {"n": found["accuracy"]["n"], "num_unscored": ""}, 3))
    if found := record.get("stability"):
        table.add_row(f"the same all {found['num_repeats']} times, %", *_estimate_cells(found["unanimous"]))
        table.add_row("pairs of repeats that agree, %", *_estimate_cells(found["pairwise"]))
        mean_range = found["mean_range"]
        table.add_row("mean range, points", "–" if mean_range is None else f"{mean_range:.2f}", "", "", "")
    console.print(table)


def _estimate_cells(found: Mapping[str, Any], digits: int = 1) -> tuple[str, str, str, str]:
    if found["value"] is None:
        return "–", "–", str(found["n"]), str(found["num_unscored"])
    interval = f"[{found['low']:.{digits}f}, {found['high']:.{digits}f}]"
    return f"{found['value']:.{digits}f}", interval, str(found["n"]), str(found["num_unscored"])
