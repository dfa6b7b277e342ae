"""`tritrace schema`: prints the JSON Schema of a parsed trace."""

import json
from typing import Annotated

import typer

from protocol import trace_schema
from stages.cli.validate.records import plan_option


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(
    plan: Annotated[str, typer.Option(help="a plan: a JSON file, or a name")] = "any",
) -> None:
    """Print the JSON Schema (2020-12) of a parsed trace under a plan."""
    typer.echo(json.dumps(trace_schema(plan_option(plan)), indent=2, ensure_ascii=False))
