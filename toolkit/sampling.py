"""The sampling planner: plans drawn at random, so that data shows every persona, topology and tool in every order.

A plan depends on the seed and the query only, not on labels or earlier draws. Every plan can express every decision,
because it has a gate that may state any of them. It can express every risk, because it has a tool that weighs words and
picture together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from protocol import Phase, Plan, Role, Tool
from toolkit.catalogue import CATALOGUE, PICTURE_TOOLS
from toolkit.personas import PERSONAS
from toolkit.planner import build_plan
from toolkit.topologies import TOPOLOGIES


@dataclass(frozen=True, slots=True)
class SamplingPlanner:
    """Draws the same plan for the same seed, words and number of pictures, on any machine."""

    seed: int = 0

    def __call__(self, text: str, num_images: int) -> Plan:
        """Return the plan for a query; without a picture, tools that look at pictures are left out."""
        rng = Random(f"{self.seed} {num_images} {text}")
        tools = _draw_tools(rng, [tool for tool in CATALOGUE.values() if num_images or tool not in PICTURE_TOOLS])
        plan = build_plan(rng.choice(list(PERSONAS.values())), rng.choice(list(TOPOLOGIES)), tools)
        return replace(plan, reason=f"sampled with seed {self.seed}: {len(tools)} of {len(CATALOGUE)} tools")


def _draw_tools(rng: Random, tools: Sequence[Tool]) -> list[Tool]:
    """Return tools of every phase in any order, one that weighs the risk among them; of the decisions, a gate first."""
    perception, reasoning, decision = ([tool for tool in tools if tool.phase is phase] for phase in Phase)
    gate = rng.choice([tool for tool in decision if tool.implies is None])
    weighing = rng.choice([tool for tool in reasoning if _states(tool, Role.COMBINED_RISK)])
    reasons = [weighing, *_some(rng, _without(reasoning, weighing), 0)]
    rng.shuffle(reasons)
    return [*_some(rng, perception, 1), *reasons, gate, *_some(rng, _without(decision, gate), 0)]


def _some(rng: Random, tools: Sequence[Tool], least: int) -> list[Tool]:
    return rng.sample(tools, rng.randint(least, len(tools)))


def _without(tools: Sequence[Tool], one: Tool) -> list[Tool]:
    return [tool for tool in tools if tool is not one]


def _states(tool: Tool, role: Role) -> bool:
    return any(key.role is role for key in tool.keys)
