"""`tritrace data`: build rows and pairs, check them, and say what is in them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from tqdm import tqdm

from data.build import PUBLISHED, Scenes, Sizes, build_pocket
from data.negatives import Draw
from protocol.diagnostics import printable
from protocol.errors import UserError
from stages.cli.next_step import tell_next
from stages.cli.options import from_options
from stages.cli.rows.curate import curated
from stages.cli.rows.label import label
from stages.cli.rows.pairs import pairs
from stages.cli.rows.synthesize import synthesized
from stages.cli.rows.tables import balance_tables, corruption_table, length_table
from stages.cli.rows.template import template
from toolkit.planner import plan_query
from toolkit.sampling import SamplingPlanner

app = typer.Typer(no_args_is_help=True, help="Build and check training rows.")
MAX_TOLD = 1000
"""Maximum number of printed faults; all are counted."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Defaults for the options of a data set."""

    sizes: Sizes
    planner: Literal["rule", "sampling"]
    draw: Draw


PRESETS = {"pocket": Preset(Sizes(), "rule", "traces"), "published": Preset(PUBLISHED, "sampling", "balanced")}


def add_to(main: typer.Typer) -> None:
    """Add the group."""
    app.command()(from_options(pairs))
    app.command("curate")(from_options(curated))
    app.command("synthesize")(from_options(synthesized))
    app.command()(template)
    app.command()(label)
    main.add_typer(app, name="data")


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of `tritrace data build`."""

    output: Annotated[Path, typer.Argument(help="folder for the rows and pictures")]
    preset: Annotated[
        Literal["pocket", "published"],
        typer.Option(help="pocket: sizes of the pocket curriculum; published: 6k SFT, 18.6k pairs, 6k GRPO, 1k"),
    ] = "pocket"
    sft: Annotated[int | None, typer.Option(min=0, help="queries for SFT")] = None
    dpo: Annotated[int | None, typer.Option(min=0, help="queries for DPO, several pairs each")] = None
    grpo: Annotated[int | None, typer.Option(min=0, help="queries for GRPO")] = None
    validation: Annotated[int | None, typer.Option(min=0, help="queries to tune on")] = None
    test: Annotated[int | None, typer.Option(min=0, help="held-out queries")] = None
    pairs_per_query: Annotated[int | None, typer.Option(min=0, help="preference pairs per query")] = None
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 0
    planner: Annotated[Literal["rule", "sampling"] | None, typer.Option(help="the planner")] = None
    draw: Annotated[
        Draw | None,
        typer.Option(help="pairs: traces (none about the decision), drawn (decision first), balanced (equal lengths)"),
    ] = None
    scenes: Annotated[Scenes, typer.Option(help="described: text instead of pictures, for a text model")] = "drawn"
    jobs: Annotated[int, typer.Option(min=1, help="processes; the result does not depend on their number")] = 1

    def sizes(self) -> Sizes:
        """Return the sizes: given options override the preset."""
        names = ("sft", "dpo", "grpo", "validation", "test", "pairs_per_query")
        given = {name: getattr(self, name) for name in names}
        return replace(
            PRESETS[self.preset].sizes, **{name: value for name, value in given.items() if value is not None}
        )


def build(options: BuildOptions) -> None:
    """Build the pocket world's rows for all three stages. After an interruption, the same command continues."""
    output, chosen, sizes = options.output, PRESETS[options.preset], options.sizes()
    num_queries = sizes.sft + sizes.dpo + sizes.grpo + sizes.validation + sizes.test
    with _bar(num_queries, "query") as advance:
        is_new = build_pocket(
            output,
            sizes,
            seed=options.seed,
            planner=SamplingPlanner(options.seed) if (options.planner or chosen.planner) == "sampling" else plan_query,
            draw=options.draw or chosen.draw,
            scenes=options.scenes,
            jobs=options.jobs,
            on_progress=advance,
        )
    typer.echo(f"{output}: {'written' if is_new else 'already there, nothing to do'}")


app.command()(from_options(build))


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="a data folder, or files of rows of one folder")],
    *,
    against: Annotated[
        list[str] | None, typer.Option(help="an evaluation set that the rows must not contain: NAME=FILE; repeatable")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="write a summary with plots")] = None,
    fix: Annotated[Path | None, typer.Option(help="write a cleaned copy, with the reason of each dropped row")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="processes to check with")] = 1,
) -> None:
    """Check rows, images, duplicates and leaks. Exit 0: no faults; 1: some rows have faults; 2: some are unreadable."""
    _require_libraries()
    from data.checks.cleaning import write_cleaned
    from data.checks.index import Found
    from data.checks.page import MAX_FAULTS, write_page
    from data.checks.run import check_of, summary_of
    from stages.cli.validate.pieces import num_bytes

    checked = check_of(paths, against=against or (), jobs=jobs)
    told = 0
    first: list[Found] = []
    with _bar(num_bytes(map(str, checked.files)), "B") as advance:
        for found in checked.run(advance):
            told += 1
            if len(first) < MAX_FAULTS:
                first.append(found)
            if told <= MAX_TOLD:
                line = f"{found.file}:{found.line}: {found.fault.name}: {found.fault.message}"
                tqdm.write(printable(line), file=sys.stdout)
    if told > MAX_TOLD:
        typer.echo(f"... and {told - MAX_TOLD:,} more")
    if html is not None:
        write_page(html, checked, first)
    typer.echo(summary_of(checked), err=True)
    if fix is not None:
        num_kept, num_dropped = write_cleaned(checked, fix)
        typer.echo(f"{fix}: {num_kept:,} rows kept, {num_dropped:,} dropped with reasons", err=True)
    if checked.exit_code == 0:
        tell_next("data check", paths[0], "tritrace preflight --config RECIPE")
    elif fix is None:
        typer.echo(f"next: tritrace data check {paths[0]} --fix CLEANED (a copy without the faulty rows)", err=True)
    raise typer.Exit(checked.exit_code)


@app.command()
def stats(
    paths: Annotated[list[Path], typer.Argument(help="a data folder, or files of rows of one folder")],
    *,
    html: Annotated[Path | None, typer.Option(help="write a summary with plots")] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="tables, or a JSON object")] = "text",
    jobs: Annotated[int, typer.Option(min=1, help="processes to read with")] = 1,
) -> None:
    """Count rows by case, risk, category, decision, tool and topology, and compare lengths in pairs."""
    _require_libraries()
    from data.checks.index import Found
    from data.checks.page import MAX_FAULTS, write_page
    from data.checks.run import check_of, report_json, summary_of
    from stages.cli.validate.pieces import num_bytes

    checked = check_of(paths, jobs=jobs)
    first: list[Found] = []
    with _bar(num_bytes(map(str, checked.files)), "B") as advance:
        for found in checked.run(advance):
            if len(first) < MAX_FAULTS:
                first.append(found)
    if html is not None:
        write_page(html, checked, first)
    if output == "json":
        typer.echo(report_json(checked))
    else:
        console = Console(highlight=False)
        for table in balance_tables(checked.counts):
            console.print(table)
        if gaps := checked.counts.length_gaps():
            console.print(length_table(gaps))
    typer.echo(summary_of(checked), err=True)


@app.command()
def corruptions(
    rows: Annotated[int, typer.Option(min=0, help="measure each on this number of random rows; 0 only lists them")] = 0,
    seed: Annotated[int, typer.Option(help="seed of the random rows")] = 0,
) -> None:
    """List the corruptions with the codes that they cause; with --rows, measure how often they cause exactly these."""
    from data.corruptions import CORRUPTIONS
    from data.corruptions.precision import Precision, measure_precision, random_examples

    measured: dict[str, Precision] = {}
    if rows:
        # A rare corruption applies to about one row in ten, such as to a loop with room for one more turn.
        examples = list(random_examples(rows, seed))
        with _bar(len(CORRUPTIONS), "corruption") as advance:
            for name in CORRUPTIONS:
                measured[name] = measure_precision(name, examples, rows, seed)
                advance(1)
    Console(highlight=False).print(corruption_table(measured))
    raise typer.Exit(int(any(found.share not in {None, 1.0} for found in measured.values())))


@contextmanager
def _bar(total: int | None, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on a terminal, and nothing in a log."""
    with tqdm(total=total, unit=unit, unit_scale=unit == "B", disable=None, leave=False) as bar:
        yield bar.update


def _require_libraries() -> None:
    try:
        import imagehash
        import rensa
    except ImportError as error:
        raise UserError(f'checking data needs {error.name}: pip install ".[check]"') from None
    del imagehash, rensa
