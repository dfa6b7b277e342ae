"""A plan: persona, tools and transition graph. It becomes the system message, the grammar, the schema and the rules."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from protocol.keys.key_type import SpecError
from protocol.labels import Decision
from protocol.plans.graph import Graph, Walker, check_graph
from protocol.plans.tools import Phase, Role, Tool


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the responder is to be."""

    name: str
    text: str
    """One or two sentences, addressed to the model."""


@dataclass(frozen=True)
class Plan:
    """What the planner hands to the responder."""

    persona: Persona
    tools: tuple[Tool, ...]
    graph: Graph
    reason: str = ""
    """Why the planner chose it; not part of the plan's identity."""

    def __post_init__(self) -> None:
        """Check that names are unique and the graph can be walked."""
        names = [tool.name for tool in self.tools]
        if twice := {name for name in names if names.count(name) > 1}:
            raise SpecError(f"plan: the tool {min(twice)} is listed twice")
        check_graph(self.graph, self.phases)
        if not self.decisions and any(tool.states_decision for tool in self.tools):
            stating = ", ".join(tool.name for tool in self.tools if tool.states_decision)
            raise SpecError(
                f"graph {self.graph.topology!r} cannot be used: no trace can state one decision throughout;"
                f" every path contradicts itself over {stating}"
            )

    @cached_property
    def decisions(self) -> frozenset[Decision]:
        """The decisions that a trace can state and none of its calls contradicts."""
        return frozenset(decision for decision in Decision if self._can_state(decision))

    def _can_state(self, decision: Decision) -> bool:
        """Whether some trace calls only tools that allow the decision, one of which states it."""
        queue = [(state, False) for state in self.walker.first()]
        seen = set(queue)
        for state, is_stated in queue:
            tool = self.by_name[state.tool]
            if not tool.allows(decision):
                continue
            is_stated_now = is_stated or tool.states_decision
            if is_stated_now and self.walker.is_accepting(state):
                return True
            fresh = {(after, is_stated_now) for after in self.walker.next(state)} - seen
            seen |= fresh
            queue.extend(fresh)
        return False

    @cached_property
    def phases(self) -> dict[str, Phase]:
        """The phase of each tool by name."""
        return {tool.name: tool.phase for tool in self.tools}

    @cached_property
    def by_name(self) -> dict[str, Tool]:
        """Each tool by name."""
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def roles(self) -> frozenset[Role]:
        """What the keys of its tools state."""
        return frozenset(key.role for tool in self.tools for key in tool.keys if key.role)

    @cached_property
    def walker(self) -> Walker:
        """Decides the paths of the graph."""
        return Walker(self.graph, self.phases)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON text, without the reason."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the canonical JSON text: sorted keys, no spaces, without the reason."""
        record = {
            "persona": {"name": self.persona.name, "text": self.persona.text},
            "tools": [tool.to_json() for tool in self.tools],
            "graph": self.graph.to_json(),
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read a plan from its JSON text; equal texts give the same object, so derived parts are built once.

        Raises:
            SpecError: not JSON, a part is missing or unknown, or the graph cannot be walked.
        """
        return _read_plan(text)


@lru_cache(maxsize=512)
def _read_plan(text: str) -> Plan:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"plan: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise SpecError(f"plan: expected a JSON object, found {type(record).__name__}")
    return plan_from_record(record)


def plan_from_record(record: Mapping[str, Any]) -> Plan:
    """Read a plan from a JSON object with "persona", "tools" and "graph".

    Raises:
        SpecError: a part is missing, unknown or impossible.
    """
    if missing := [name for name in ("persona", "tools", "graph") if name not in record]:
        raise SpecError(f"plan: the field {missing[0]!r} is missing; expected persona, tools and graph")
    persona = record["persona"]
    if not isinstance(persona, Mapping) or not {"name", "text"} <= set(persona):
        raise SpecError('plan.persona: expected {"name": ..., "text": ...}')
    if not isinstance(record["tools"], list) or not all(isinstance(tool, Mapping) for tool in record["tools"]):
        raise SpecError("plan.tools: expected a list of tool objects")
    if not isinstance(record["graph"], Mapping):
        raise SpecError("plan.graph: expected an object with edges, start and accept")
    tools = tuple(Tool.from_json(tool) for tool in record["tools"])
    graph = Graph.from_json(record["graph"])
    return Plan(Persona(str(persona["name"]), str(persona["text"])), tools, graph, str(record.get("reason", "")))
