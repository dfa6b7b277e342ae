"""`tritrace data`: build and check rows."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from data.build import Sizes, build_pocket
from data.files import read_rows
from data.rows import PreferencePair, Query, RolloutPrompt, SFTRow
from protocol import Labels, Plan, SpecError, diagnose
from toolkit.planner import plan_query
from toolkit.sampling import SamplingPlanner

app = typer.Typer(no_args_is_help=True, help="Build and check training rows.")
_sizes = Sizes()
_row_types: dict[str, type[Any]] = {"query": Query, "sft": SFTRow, "dpo": PreferencePair, "prompt": RolloutPrompt}


def add_to(main: typer.Typer) -> None:
    """Add the group."""
    main.add_typer(app, name="data")


@app.command()
def build(
    output: Annotated[Path, typer.Argument(help="folder for the rows and pictures")],
    *,
    sft: Annotated[int, typer.Option(help="queries for SFT")] = _sizes.sft,
    dpo: Annotated[int, typer.Option(help="queries for DPO, several pairs each")] = _sizes.dpo,
    grpo: Annotated[int, typer.Option(help="queries for GRPO")] = _sizes.grpo,
    validation: Annotated[int, typer.Option(help="queries to tune on")] = _sizes.validation,
    test: Annotated[int, typer.Option(help="held-out queries")] = _sizes.test,
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 0,
    planner: Annotated[Literal["rule", "sampling"], typer.Option(help="who chooses the plans")] = "rule",
) -> None:
    """Build the pocket world's rows for all three stages."""
    sizes = Sizes(sft=sft, dpo=dpo, grpo=grpo, validation=validation, test=test)
    chosen = SamplingPlanner(seed) if planner == "sampling" else plan_query
    is_new = build_pocket(output, sizes, seed=seed, planner=chosen)
    typer.echo(f"{output}: {'written' if is_new else 'already there, nothing to do'}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="a file of rows")],
    row: Annotated[str, typer.Option(help=f"what the rows are: {', '.join(_row_types)}")] = "sft",
) -> None:
    """Check rows: every line readable, every reference response valid for its plan. Exit 1 if one is not."""
    if row not in _row_types:
        raise typer.BadParameter(f"expected one of {', '.join(_row_types)}, found {row!r}", param_hint="--row")
    rows = read_rows(file, _row_types[row])
    num_bad = 0
    for each in rows:
        if not isinstance(each, SFTRow | PreferencePair):
            continue  # holds no response up as right
        verdict = diagnose(_reference(each), _plan(file, each), Labels())
        num_bad += not verdict.is_valid
        for found in verdict.diagnostics:
            typer.echo(f"{file}: row {each.id}: {found.code} {found.message}")
    kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(each.kind for each in rows).most_common())
    typer.echo(f"{len(rows)} rows ({kinds}), {num_bad} with an invalid reference response", err=True)
    raise typer.Exit(1 if num_bad else 0)


def _reference(row: SFTRow | PreferencePair) -> str:
    """Return the response that a row holds up as right."""
    return (row.completion if isinstance(row, SFTRow) else row.chosen)[0]["content"]


def _plan(file: Path, row: SFTRow | PreferencePair) -> Plan:
    try:
        return Plan.from_json(row.plan)
    except SpecError as error:
        raise SpecError(f"{file}: row {row.id}: {error}") from None
