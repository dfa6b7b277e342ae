"""The documentation of a plan as a Markdown page for people: its graph, its bounds, its tools with keys and types."""

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from protocol.plan import Plan


def plan_document(plan: Plan) -> str:
    """Return the page of a plan; code hosts draw its graph."""
    template = files("protocol").joinpath("prompts", "document.md.j2").read_text(encoding="utf-8")
    # Markdown for people: escaping for HTML would garble it.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701
    return environment.from_string(template).render(plan=plan, graph=plan.graph).strip() + "\n"
