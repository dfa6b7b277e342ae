"""The five named shapes of a transition graph, each built from the tools of a plan in the order given.

The published reference names linear, tree, mesh, shield and loop without defining them; these definitions are our own.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise, permutations

from protocol import Phase, SpecError, Tool
from protocol.plans.graph import Graph

Edge = tuple[str, str]


def linear(tools: Sequence[Tool]) -> Graph:
    """One chain through every tool; decisions that follow up another decision are optional last calls."""
    perception, reasoning, gate, leaves = _parts(tools)
    edges = [*pairwise([*perception, *reasoning, gate]), *((gate, leaf) for leaf in leaves)]
    return _graph("linear", edges, perception[:1], [gate, *leaves])


def tree(tools: Sequence[Tool]) -> Graph:
    """Perception and Reasoning are the trunk; the decisions are the leaves, and choosing one is the decision."""
    perception, reasoning, gate, leaves = _parts(tools)
    trunk = [*perception, *reasoning]
    edges = [*pairwise(trunk), *_across(trunk[-1:], [gate, *leaves])]
    return _graph("tree", edges, perception[:1], [gate, *leaves])


def mesh(tools: Sequence[Tool]) -> Graph:
    """Within a phase any other tool may follow; each phase leads to every tool of the next. Bounded by its length."""
    perception, reasoning, gate, leaves = _parts(tools)
    edges = [*permutations(perception, 2), *_across(perception, reasoning), *permutations(reasoning, 2)]
    edges += [*_across(reasoning, [gate]), *((gate, leaf) for leaf in leaves)]
    return _graph("mesh", edges, perception, [gate, *leaves], max_steps=len(tools))


def shield(tools: Sequence[Tool]) -> Graph:
    """A guard first and a gate last. After the first Reasoning tool, high risk may go straight to the gate."""
    perception, reasoning, gate, leaves = _parts(tools)
    edges = [*pairwise([*perception, *reasoning, gate]), *((gate, leaf) for leaf in leaves)]
    edges += [(perception[0], reasoning[0]), (reasoning[0], gate)]
    return _graph("shield", edges, perception[:1], [gate, *leaves])


def loop(tools: Sequence[Tool], returns: int = 1) -> Graph:
    """A chain in which the last Reasoning tool may go back to Perception, at most `returns` times."""
    perception, reasoning, gate, leaves = _parts(tools)
    edges = [*pairwise([*perception, *reasoning, gate]), (reasoning[-1], perception[0])]
    edges += [(gate, leaf) for leaf in leaves]
    # Room for one round more than allowed, so that the bound on returns stops a loop, with its own message.
    steps = (len(perception) + len(reasoning)) * (returns + 2) + 2
    return _graph("loop", edges, perception[:1], [gate, *leaves], max_steps=steps, max_returns=returns)


TOPOLOGIES: dict[str, Callable[[Sequence[Tool]], Graph]] = {
    "linear": linear,
    "tree": tree,
    "mesh": mesh,
    "shield": shield,
    "loop": loop,
}


def _parts(tools: Sequence[Tool]) -> tuple[list[str], list[str], str, list[str]]:
    """Return the names by phase: Perception, Reasoning, the gate (the first Decision tool), the other decisions."""
    perception, reasoning, decision = ([tool.name for tool in tools if tool.phase is phase] for phase in Phase)
    for phase, names in zip(Phase, (perception, reasoning, decision), strict=True):
        if not names:
            raise SpecError(f"a plan needs a {phase} tool; given are {', '.join(tool.name for tool in tools)}")
    return perception, reasoning, decision[0], decision[1:]


def _across(sources: Sequence[str], targets: Sequence[str]) -> list[Edge]:
    return [(source, target) for source in sources for target in targets]


def _graph(
    topology: str,
    edges: Sequence[Edge],
    start: Sequence[str],
    accept: Sequence[str],
    *,
    max_steps: int = 12,
    max_returns: int = 0,
) -> Graph:
    return Graph(topology, tuple(dict.fromkeys(edges)), tuple(start), tuple(accept), max_steps, max_returns)
