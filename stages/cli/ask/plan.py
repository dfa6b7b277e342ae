"""`tritrace plan`: shows the plan that a planner chooses, in several forms."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data.files.text import refuse_surrogates
from data.pictures.images import open_image
from protocol import Plan, grammar_of, system_prompt, trace_schema
from protocol.errors import UserError
from toolkit.llm_planner import Endpoint, LLMPlanner
from toolkit.planner import Planner, plan_query
from toolkit.sampling import SamplingPlanner


class PlannerName(StrEnum):
    """The planner."""

    RULE = "rule"
    SAMPLING = "sampling"
    LLM = "llm"


class View(StrEnum):
    """The form in which `plan` prints a plan."""

    PROMPT = "prompt"
    COMPACT = "compact"
    JSON = "json"
    GRAMMAR = "grammar"
    SCHEMA = "schema"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    text: Annotated[str, typer.Argument(help="the user's question")],
    image: Annotated[list[Path] | None, typer.Option(help="a picture of the question; may be repeated")] = None,
    planner: Annotated[PlannerName, typer.Option(help="who chooses")] = PlannerName.RULE,
    seed: Annotated[int, typer.Option(help="seed of the sampling planner")] = 0,
    base_url: Annotated[
        str | None,
        typer.Option(envvar="OPENAI_BASE_URL", help="LLM planner's server, such as http://localhost:8000/v1"),
    ] = None,
    llm: Annotated[str | None, typer.Option(envvar="TRITRACE_LLM", help="model of the LLM planner")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="OPENAI_API_KEY", show_envvar=True, help="key of the LLM planner's server")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="token limit of the LLM planner's reply")] = 4096,
    timeout: Annotated[float, typer.Option(min=0.01, help="seconds for one request to its server")] = 60.0,
    view: Annotated[View, typer.Option("--as", help="the form to print")] = View.PROMPT,
) -> None:
    """Show the plan that a planner chooses, as a prompt or in another form."""
    refuse_surrogates(text, "TEXT")
    for path in image or []:
        open_image(path.name, path.parent)
    choose: Planner = plan_query
    if planner is PlannerName.SAMPLING:
        choose = SamplingPlanner(seed)
    elif planner is PlannerName.LLM:
        if not base_url or not llm:
            raise UserError("plan: the LLM planner needs --base-url and --llm, or OPENAI_BASE_URL and TRITRACE_LLM")
        choose = LLMPlanner(Endpoint(base_url, llm, api_key, timeout, max_tokens=max_tokens))
    chosen = choose(text, len(image or []))
    if view in (View.PROMPT, View.COMPACT):
        typer.echo(f"plan {chosen.fingerprint}: {_headline(chosen)}\nreason: {chosen.reason}\n", err=True)
    typer.echo(_render(chosen, view))


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
