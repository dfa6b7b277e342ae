"""`tritrace harness`: runs lm-evaluation-harness and VLMEvalKit for general ability, and shows their results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from protocol.diagnostics import printable
from protocol.errors import UserError
from stages.cli.extras import need_scipy
from stages.cli.options import FIELDS_AS_FLAGS
from stages.cli.terminal import plain_console

if TYPE_CHECKING:
    from eval.harness.scores import BenchmarkRow

app = typer.Typer(help="Measure general ability with other harnesses.", no_args_is_help=True)
_Checkpoint = Annotated[Path, typer.Argument(help="an exported model's folder, or a stage's")]
_Tasks = Annotated[list[str], typer.Option("--task", help="a benchmark, by the harness's name; may be repeated")]
_Output = Annotated[Path, typer.Option(help="a stage's folder, for the run's report, or any other")]
_Python = Annotated[str | None, typer.Option(help="an interpreter with the harness  [default: this one]")]


def add_to(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(app, name="harness")


@app.command("lm-eval", context_settings=FIELDS_AS_FLAGS)
def lm_eval(
    context: typer.Context,
    checkpoint: _Checkpoint,
    task: _Tasks,
    output: _Output,
    python: _Python = None,
    backend: Annotated[str, typer.Option(help="lm_eval's model class; hf-multimodal for pictures")] = "hf",
) -> None:
    """Run lm-evaluation-harness and show its results. Options after -- go to lm_eval, such as -- --limit 100."""
    from stages.results.harness import default_python, lm_eval_job, run_job

    python = python or default_python()
    run_job(lm_eval_job(checkpoint, task, output, python=python, backend=backend, more=context.args))
    show([output])


@app.command(context_settings=FIELDS_AS_FLAGS)
def vlmeval(
    context: typer.Context,
    checkpoint: _Checkpoint,
    task: Annotated[list[str], typer.Option("--task", help="DATASET=CLASS by VLMEvalKit's names; may be repeated")],
    output: _Output,
    home: Annotated[Path, typer.Option(help="the clone of VLMEvalKit, with run.py")],
    python: _Python = None,
    model_class: Annotated[str, typer.Option(help="VLMEvalKit's class for such models")] = "Qwen2VLChat",
) -> None:
    """Run VLMEvalKit on an exported model and show its results. Options after -- go to run.py."""
    from stages.results.harness import default_python, run_job, vlmeval_job

    python = python or default_python()
    job = vlmeval_job(
        checkpoint, task, output, python=python, home=home, model_class=model_class, more=context.args
    )  # fmt: skip
    run_job(job)
    show([output])


@app.command()
def show(
    paths: Annotated[list[Path], typer.Argument(help="runs, stages, folders or result files of either harness")],
) -> None:
    """Show the results of harnesses below the paths, with a column for each stage or path."""
    need_scipy()
    from eval.harness.reading import read_results
    from eval.harness.scores import benchmark_rows
    from stages.results.reporting import harness_scores

    if missing := [path for path in paths if not path.exists()]:
        raise UserError(f"{missing[0]}: there is no such file or folder")
    columns = harness_scores(paths[0]) if len(paths) == 1 else {}
    columns = columns or {str(path): [read_results(path)] for path in paths}
    rows = benchmark_rows(columns)
    if not rows:
        looked = "results_*.json of lm-eval; status.json, *_acc.csv and *_score.* of VLMEvalKit"
        raise UserError(f"{', '.join(map(str, paths))}: no results found (looked for {looked})")
    plain_console().print(_table(rows, list(columns)))


def _table(rows: "Sequence[BenchmarkRow]", columns: Sequence[str]) -> Table:
    from eval.harness.table import BENCHMARK_CAPTION, benchmark_title, format_benchmark

    table = Table(box=box.SIMPLE_HEAD, caption=Text(BENCHMARK_CAPTION))
    table.caption_justify = "left"
    table.add_column("benchmark", overflow="fold")
    for name in columns:
        table.add_column(Text(printable(name)), justify="right")
    for row in rows:
        cells = [Text(printable(format_benchmark(row.by_stage.get(name)))) for name in columns]
        table.add_row(Text(printable(benchmark_title(row))), *cells)
    return table
