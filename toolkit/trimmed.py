"""The rule planner's plans, made of some tools only: those that labels can fill, or that a model was trained with.

The tools must be chosen for a whole data set, never for a single query: a plan that depends on the labels of its query
would give them away.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache

from protocol import Persona, Phase, Plan, Tool
from toolkit.catalogue import CATALOGUE, KEYWORD_FLAGGING
from toolkit.planner import build_plan, plan_query


@dataclass(frozen=True, slots=True)
class TrimmedPlanner:
    """Chooses like the rule planner, and leaves out every tool that is not in its list."""

    tools: frozenset[str]
    """Names. KEYWORD-FLAGGING reads the words alone, and is used where no other Perception tool is left."""

    def __call__(self, text: str, num_images: int) -> Plan:
        """Return the plan for a query.

        Raises:
            SpecError: a Reasoning or Decision phase is left without a tool.
        """
        plan = plan_query(text, num_images)
        kept = tuple(tool for tool in plan.tools if tool.name in self.tools)
        if len(kept) == len(plan.tools):
            return plan
        return replace(_trimmed(plan.persona, plan.graph.topology, kept), reason=plan.reason)


@cache
def _trimmed(persona: Persona, topology: str, tools: tuple[Tool, ...]) -> Plan:
    has_eyes = any(tool.phase is Phase.PERCEPTION for tool in tools)
    return build_plan(persona, topology, tools if has_eyes else (KEYWORD_FLAGGING, *tools))


def planner_of(plans: Collection[Plan] | Sequence[Plan]) -> TrimmedPlanner:
    """Return the planner whose plans use only tools that some of the given plans use."""
    return TrimmedPlanner(frozenset(tool.name for plan in plans for tool in plan.tools if tool.name in CATALOGUE))
