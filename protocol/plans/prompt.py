"""The system message that a plan becomes: its persona, tools and graph in words, from the templates in `prompts/`.

`full` teaches a model that has never seen the language. `compact` reminds a model that was trained on it; the pocket
world uses it, because its contexts are small.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Literal

from protocol.plans.plan import Plan
from protocol.plans.tools import Phase
from protocol.templates import plain_template

Style = Literal["full", "compact"]


@lru_cache(maxsize=1024)
def system_prompt(plan: Plan, style: Style = "full") -> str:
    """Return the system message of a plan."""
    back, graph = "going back to an earlier phase at most", plan.graph
    return (
        plain_template("protocol", f"plans/prompts/{style}.j2")
        .render(
            plan=plan,
            by_phase=[(phase, [tool for tool in plan.tools if tool.phase is phase]) for phase in Phase],
            usage=lambda tool: "; ".join(f"{key.name}={key.type.placeholder()}" for key in tool.keys),
            following=lambda name: [*graph.successors(name), *_end(plan, name, "the answer")],
            arrows=lambda name: " ".join(
                [*(f"[{after}]" for after in graph.successors(name)), *_end(plan, name, "answer")]
            ),
            returns=f", {back} {graph.max_returns} times" if graph.max_returns else "",
        )
        .strip()
    )


def template_text(style: Style) -> str:
    """Return the template of a style."""
    return files("protocol").joinpath("plans", "prompts", f"{style}.j2").read_text(encoding="utf-8")


def _end(plan: Plan, tool: str, word: str) -> list[str]:
    return [word] if tool in plan.graph.accept else []
