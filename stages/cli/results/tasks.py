"""`tritrace tasks`: lists the evaluation tasks."""

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from stages.cli.extras import need_scipy


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tasks)


def tasks() -> None:
    """List the evaluation tasks: what they measure, and where their queries come from."""
    need_scipy()
    from data.sources.declared.registry import built_in_sources
    from eval.tasks import built_in_tasks

    sources = built_in_sources()
    table = Table(box=box.SIMPLE_HEAD, caption="Each is a file in eval/tasks/catalogue; --task FILE takes your own.")
    for column in ("task", "measures", "queries", "licence", "about"):
        table.add_column(column, overflow="fold")
    for task in built_in_tasks().values():
        licence = sources[task.source].licence if task.source in sources else "Apache-2.0"
        table.add_row(task.name, task.measures, f"{task.source}, {task.split}", licence, task.about)
    Console(highlight=False).print(table)
