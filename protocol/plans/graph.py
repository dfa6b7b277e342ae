"""Transition graphs: which tool may follow which, where a trace begins and where it may end.

A path of the graph is a walk from a start tool to an accepting one, of at most `max_steps` calls and with at most
`max_returns` steps back to an earlier phase. `Walker` decides this language step by step. It never offers a step after
which no accepting tool can be reached. Grammar, diagnostics and samplers all walk with it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from protocol.keys.key_type import SpecError
from protocol.plans.tools import Phase

MAX_STEPS = 100
"""The grammar of a plan unrolls its graph, one rule a tool and step."""
MAX_TOOLS = 100
MAX_WALK = 200_000
"""Edges times steps times returns: a bound on the states of a walk."""


@dataclass(frozen=True)
class Graph:
    """A directed graph over tools, by their names."""

    topology: str
    """Name of the shape, such as "linear"; for people and tables."""
    edges: tuple[tuple[str, str], ...]
    start: tuple[str, ...]
    accept: tuple[str, ...]
    max_steps: int = 12
    """Most calls of a trace."""
    max_returns: int = 0
    """Most steps from a phase back to an earlier one."""

    def successors(self, tool: str) -> tuple[str, ...]:
        """Return the tools that may follow, bounds aside."""
        return self._following.get(tool, ())

    @cached_property
    def _following(self) -> dict[str, tuple[str, ...]]:
        following: dict[str, tuple[str, ...]] = {}
        for source, target in self.edges:
            following[source] = (*following.get(source, ()), target)
        return following

    def to_json(self) -> dict[str, Any]:
        """Return the graph as a JSON object."""
        return {
            "topology": self.topology,
            "edges": [list(edge) for edge in self.edges],
            "start": list(self.start),
            "accept": list(self.accept),
            "max_steps": self.max_steps,
            "max_returns": self.max_returns,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Graph":
        """Read a graph.

        Raises:
            SpecError: a field is missing or of the wrong kind.
        """
        try:
            edges = tuple((str(source), str(target)) for source, target in record["edges"])
            start, accept = tuple(map(str, record["start"])), tuple(map(str, record["accept"]))
            bounds = int(record.get("max_steps", 12)), int(record.get("max_returns", 0))
            return cls(str(record.get("topology", "custom")), edges, start, accept, *bounds)
        except KeyError as error:
            raise SpecError(f"graph: the field {error} is missing") from None
        except (TypeError, ValueError, OverflowError) as error:  # the last for Infinity, which JSON readers take
            raise SpecError(f"graph: {error}") from None


@dataclass(frozen=True, slots=True)
class State:
    """How far a walk has come."""

    tool: str
    steps: int
    returns: int


@dataclass(frozen=True)
class Walker:
    """Decides the paths of a graph."""

    graph: Graph
    phases: Mapping[str, Phase]
    """The phase of each tool."""
    _live: dict[State, bool] = field(default_factory=dict, repr=False, compare=False)

    def first(self) -> tuple[State, ...]:
        """Return the states a walk may begin in."""
        return tuple(state for tool in self.graph.start if self.is_live(state := State(tool, 1, 0)))

    def next(self, state: State) -> tuple[State, ...]:
        """Return the states that may follow."""
        return tuple(candidate for candidate in self.moves(state) if self.is_live(candidate))

    def is_accepting(self, state: State) -> bool:
        """Whether a trace may end here."""
        return state.tool in self.graph.accept and state.steps <= self.graph.max_steps

    def is_return(self, source: str, target: str) -> bool:
        """Whether a step goes back to an earlier phase."""
        return self.phases[target].rank < self.phases[source].rank

    def moves(self, state: State) -> Iterator[State]:
        """Yield the states that edges and bounds allow, live or not."""
        for target in self.graph.successors(state.tool):
            returns = state.returns + self.is_return(state.tool, target)
            if state.steps < self.graph.max_steps and returns <= self.graph.max_returns:
                yield State(target, state.steps + 1, returns)

    def is_live(self, state: State) -> bool:
        """Whether an accepting tool can still be reached within the bounds."""
        if state not in self._live:
            self._live[state] = self.is_accepting(state) or any(map(self.is_live, self.moves(state)))
        return self._live[state]

    def states(self) -> Iterator[State]:
        """Yield every state that some accepted walk passes, first reached first."""
        queue, seen = list(self.first()), set(self.first())
        for state in queue:
            yield state
            fresh = [candidate for candidate in self.next(state) if candidate not in seen]
            seen.update(fresh)
            queue.extend(fresh)


def check_graph(graph: Graph, phases: Mapping[str, Phase]) -> None:
    """Check that a graph can be walked and that every accepted walk passes all three phases.

    Args:
        graph: the graph.
        phases: the phase of each tool of the plan.

    Raises:
        SpecError: lists every fault, each with the tools concerned.
    """
    if len(phases) > MAX_TOOLS:
        raise SpecError(f"plan: expected at most {MAX_TOOLS} tools, found {len(phases)}")
    faults = [*_unknown_tools(graph, phases), *_twice(graph), *_bound_faults(graph)]
    if not faults:
        walker = Walker(graph, phases)
        faults = [*_reach_faults(walker), *_phase_faults(graph, phases)] or [*_idle_edges(walker)]
    if faults:
        raise SpecError(f"graph {graph.topology!r} cannot be used: {'; '.join(faults)}")


def _unknown_tools(graph: Graph, phases: Mapping[str, Phase]) -> Iterator[str]:
    named = {*graph.start, *graph.accept, *(tool for edge in graph.edges for tool in edge)}
    for tool in sorted(named - set(phases)):
        yield f"{tool} is not a tool of the plan (tools: {', '.join(phases)})"
    if not graph.start:
        yield "it has no start tool; name at least one Perception tool"
    if not graph.accept:
        yield "it has no accepting tool, so that no trace can end; name at least one Decision tool"


def _twice(graph: Graph) -> Iterator[str]:
    named = [" -> ".join(edge) for edge in graph.edges]
    named += [f"start {tool}" for tool in graph.start] + [f"accept {tool}" for tool in graph.accept]
    for name, count in Counter(named).items():
        if count > 1:
            yield f"{name} is listed twice"


def _bound_faults(graph: Graph) -> Iterator[str]:
    bounds = {"max_steps": (1, graph.max_steps), "max_returns": (0, graph.max_returns)}
    wrong = [name for name, (least, bound) in bounds.items() if not least <= bound <= MAX_STEPS]
    for name in wrong:
        least, found = bounds[name][0], str(bounds[name][1])
        shown = found if len(found) < 20 else f"{found[:9]}..."
        yield f"{name} must be {least} to {MAX_STEPS}, found {shown}"
    size = len(graph.edges) * graph.max_steps * (graph.max_returns + 1)
    if not wrong and size > MAX_WALK:
        walk = f"{len(graph.edges)} edges, {graph.max_steps} steps and {graph.max_returns} returns"
        yield f"{walk} are too many together: their product is to be at most {MAX_WALK}; lower max_steps or max_returns"


def _reach_faults(walker: Walker) -> Iterator[str]:
    """Report each tool that no trace can call, with the reason."""
    graph, called = walker.graph, {state.tool for state in walker.states()}
    backwards: dict[str, list[str]] = {}
    for source, target in graph.edges:
        backwards.setdefault(target, []).append(source)
    reached = _closure(graph.start, graph.successors)
    ending = _closure(graph.accept, lambda tool: backwards.get(tool, ()))
    for tool in walker.phases:
        if tool in called:
            continue
        if tool not in reached:
            yield f"{tool} cannot be reached from {' or '.join(graph.start)}; add an edge to it or leave it out"
        elif tool not in ending:
            yield f"{tool} is a dead end: no accepting tool ({', '.join(graph.accept)}) can be reached from it"
        else:
            bounds = f"max_steps {graph.max_steps} and max_returns {graph.max_returns}"
            yield f"{tool} lies on no path from start to end within {bounds}; raise them"


def _closure(tools: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    """Return the tools, those that follow them, and so on."""
    queue = list(tools)
    found = set(queue)
    for tool in queue:
        fresh = set(following(tool)) - found
        found |= fresh
        queue.extend(fresh)
    return found


def _idle_edges(walker: Walker) -> Iterator[str]:
    """Report the edges that no trace can take: the prompt would offer them, and the grammar would refuse them."""
    graph = walker.graph
    back = f"it goes back to an earlier phase, and max_returns is {graph.max_returns}"
    late = f"with what has to follow it does not fit max_steps {graph.max_steps}"
    taken = {(state.tool, after.tool) for state in walker.states() for after in walker.next(state)}
    for source, target in graph.edges:
        if (source, target) not in taken:
            returns = walker.is_return(source, target)
            yield f"the edge {source} -> {target} can never be taken: {back if returns else late}"


def _phase_faults(graph: Graph, phases: Mapping[str, Phase]) -> Iterator[str]:
    for tool in graph.accept:
        if phases[tool] is not Phase.DECISION:
            yield f"it accepts after {tool}, which is {phases[tool]}; a trace ends in Decision"
    for phase in (Phase.PERCEPTION, Phase.REASONING):
        if shortcut := _path_without(graph, {tool for tool in phases if phases[tool] is not phase}):
            yield f"the path {' -> '.join(shortcut)} has no {phase} call"


def _path_without(graph: Graph, allowed: Iterable[str]) -> tuple[str, ...] | None:
    """Return a walk from start to accept through the allowed tools only, or None."""
    allowed = set(allowed)
    queue: list[tuple[str, ...]] = [(tool,) for tool in graph.start if tool in allowed]
    seen = {path[-1] for path in queue}
    for path in queue:
        if path[-1] in graph.accept:
            return path
        for target in graph.successors(path[-1]):
            if target in allowed and target not in seen:
                seen.add(target)
                queue.append((*path, target))
    return None
