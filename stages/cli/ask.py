"""`tritrace chat`: ask a trained adapter about a picture, and see its trace with the verdict on it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from data.build import rollout_prompt
from data.images import open_image
from data.rows import Query
from protocol import Plan, Verdict, diagnose
from protocol.diagnostics import show
from protocol.prompt import Style
from toolkit.planner import plan_query


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)


def chat(
    text: Annotated[str, typer.Argument(help="what to ask")],
    adapter: Annotated[Path, typer.Option(help="a stage's folder, such as runs/pocket/seed-0/grpo")],
    image: Annotated[list[Path] | None, typer.Option(help="a picture; may be repeated")] = None,
    constrained: Annotated[bool, typer.Option(help="decode under the plan's grammar; the free verdict too")] = False,
    max_new_tokens: Annotated[int, typer.Option(help="limit of the response")] = 256,
) -> None:
    """Ask a trained adapter; its trace is shown with its verdict. Exit 1 if the trace is invalid."""
    from stages.manifest import read_manifest
    from stages.policies import load_policy

    for path in image or []:
        open_image(path.name, path.parent)
    manifest = read_manifest(adapter / "manifest.json")
    root = Path(Path.cwd().anchor)
    pictures = tuple(str(path.resolve().relative_to(root)) for path in image or [])
    query = Query(id="chat", text=text, kind="chat", split="chat", images=pictures)
    plan = plan_query(text, len(pictures))
    style: Style = "compact" if manifest.data.get("prompt_style") == "compact" else "full"
    policy = load_policy(stage=adapter, max_new_tokens=max_new_tokens, constrained=constrained)
    prompt = rollout_prompt(query, style)
    response = policy.respond([prompt], root)[0]
    verdict = diagnose(response.text, plan)
    _show(plan, verdict, is_truncated=response.is_truncated)
    if constrained:
        policy.constrained = False
        free = diagnose(policy.respond([prompt], root)[0].text, plan)
        codes = ", ".join(dict.fromkeys(found.code for found in free.diagnostics))
        typer.echo(f"decoded freely: {'valid' if free.is_valid else 'invalid'}{f' ({codes})' if codes else ''}")
    raise typer.Exit(0 if verdict.is_valid else 1)


def _show(plan: Plan, verdict: Verdict, *, is_truncated: bool) -> None:
    console = Console(highlight=False)
    trace = "\n".join(call.render() for call in verdict.response.trace.calls) or "(no trace)"
    tools = " -> ".join(call.tool for call in verdict.response.trace.calls)
    console.print(f"plan: {plan.persona.name}, {plan.graph.topology} ({plan.reason})", style="dim", markup=False)
    console.print(Panel(Text(trace), title="trace", title_align="left"))
    state = "valid" if verdict.is_valid else "invalid"
    consistency = "coherent" if verdict.is_coherent else "incoherent"
    console.print(f"verdict: {state}, {consistency}; path {tools or '(none)'}", markup=False)
    for found in verdict.diagnostics:
        console.print(show(found, verdict.reading.text), markup=False)
    if is_truncated:
        console.print("the response was cut off; raise --max-new-tokens", markup=False)
    console.print(Panel(Text(verdict.reading.visible_answer or "(no answer)"), title="answer", title_align="left"))
