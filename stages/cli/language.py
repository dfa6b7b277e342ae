"""`tritrace plan`, `schema` and `explain`: the language by itself, without a model or a response."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data.images import open_image
from protocol import Plan, codes, explain, grammar_of, system_prompt, trace_schema
from protocol.errors import UserError
from protocol.nearest import nearest
from stages.cli.records import plan_option
from toolkit.planner import plan_query


class View(StrEnum):
    """Which form of a plan `plan` prints."""

    PROMPT = "prompt"
    COMPACT = "compact"
    JSON = "json"
    GRAMMAR = "grammar"
    SCHEMA = "schema"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(plan)
    app.command()(schema)
    app.command("explain")(explain_code)


def explain_code(code: Annotated[str, typer.Argument(help="such as G302")]) -> None:
    """Explain a diagnostic, with an example."""
    if code.upper() not in codes():
        hint = nearest(code.upper(), codes())
        raise UserError(f"there is no diagnostic {code!r}. {hint or 'Known are ' + ', '.join(codes())}")
    typer.echo(explain(code.upper()), nl=False)


def plan(
    text: Annotated[str, typer.Argument(help="what the user asks")],
    image: Annotated[list[Path] | None, typer.Option(help="a picture that comes with it; may be repeated")] = None,
    view: Annotated[View, typer.Option("--as", help="which form of the plan to print")] = View.PROMPT,
) -> None:
    """Show which plan the planner chooses, and what it becomes."""
    for path in image or []:
        open_image(path.name, path.parent)
    chosen = plan_query(text, len(image or []))
    if view in (View.PROMPT, View.COMPACT):
        typer.echo(f"plan {chosen.fingerprint}: {_headline(chosen)}\nreason: {chosen.reason}\n", err=True)
    typer.echo(_render(chosen, view))


def schema(
    chosen: Annotated[str, typer.Option("--plan", help="a plan: a JSON file, or a name")] = "any",
) -> None:
    """Print the JSON Schema (2020-12) of a parsed trace under a plan."""
    typer.echo(_render(plan_option(chosen), View.SCHEMA))


def _headline(chosen: Plan) -> str:
    return f"{chosen.persona.name}, {chosen.graph.topology}, {len(chosen.tools)} tools"


def _render(chosen: Plan, view: View) -> str:
    match view:
        case View.PROMPT:
            return system_prompt(chosen, "full")
        case View.COMPACT:
            return system_prompt(chosen, "compact")
        case View.JSON:
            return json.dumps(json.loads(chosen.to_json()), indent=2, ensure_ascii=False)
        case View.GRAMMAR:
            return grammar_of(chosen)
        case View.SCHEMA:
            return json.dumps(trace_schema(chosen), indent=2, ensure_ascii=False)
