"""`tritrace schema` and `explain`: the language by itself, without a query or a response."""

import json
from typing import Annotated

import typer

from protocol import codes, explain, trace_schema
from protocol.errors import UserError
from protocol.nearest import nearest
from stages.cli.validate.records import plan_option


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(schema)
    app.command("explain")(explain_code)


def explain_code(code: Annotated[str, typer.Argument(help="such as G302")]) -> None:
    """Explain a diagnostic, with an example."""
    if code.upper() not in codes():
        hint = nearest(code.upper(), codes())
        raise UserError(f"there is no diagnostic {code!r}. {hint or 'Known are ' + ', '.join(codes())}")
    typer.echo(explain(code.upper()), nl=False)


def schema(
    plan: Annotated[str, typer.Option(help="a plan: a JSON file, or a name")] = "any",
) -> None:
    """Print the JSON Schema (2020-12) of a parsed trace under a plan."""
    typer.echo(json.dumps(trace_schema(plan_option(plan)), indent=2, ensure_ascii=False))
