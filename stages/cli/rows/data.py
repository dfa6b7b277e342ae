"""`tritrace data`: the group of all commands that make, check and export rows."""

import typer

from stages.cli.options import from_options
from stages.cli.rows import export, sources
from stages.cli.rows.build import build
from stages.cli.rows.check import check, stats
from stages.cli.rows.corruptions import corruptions
from stages.cli.rows.generated.curate import curated
from stages.cli.rows.generated.pairs import pairs
from stages.cli.rows.generated.synthesize import synthesized
from stages.cli.rows.label import label
from stages.cli.rows.template import template

app = typer.Typer(no_args_is_help=True, help="Build and check training rows.")


def add_to(main: typer.Typer) -> None:
    """Add the group."""
    app.command()(from_options(build))
    app.command()(check)
    app.command()(stats)
    app.command()(corruptions)
    app.command()(from_options(pairs))
    app.command("curate")(from_options(curated))
    app.command("synthesize")(from_options(synthesized))
    app.command()(template)
    app.command()(label)
    sources.add_to(app)
    export.add_to(app)
    main.add_typer(app, name="data")
