"""`tritrace agreement`: measures a judge by its agreement with labels and with itself. Needs no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from protocol.errors import UserError
from stages.cli.extras import need_scipy
from stages.cli.options import OutputFormat
from stages.cli.terminal import plain_console


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(agreement)


def agreement(
    judged: Annotated[Path, typer.Argument(help="samples.jsonl, labelled queries, or lines with an id and the score")],
    labels: Annotated[Path | None, typer.Option(help="the truth: such a file, by people or another judge")] = None,
    repeat: Annotated[list[Path] | None, typer.Option(help="a second run of the same judge; may be repeated")] = None,
    score: Annotated[str, typer.Option(help="which score")] = "safety",
    output: Annotated[OutputFormat, typer.Option("--format", help="text, or one JSON object")] = OutputFormat.TEXT,
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
    if output is OutputFormat.JSON:
        typer.echo(json.dumps(record))
    else:
        _print_agreement(plain_console(), record)


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
