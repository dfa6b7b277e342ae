"""Which tools are called, and in which order."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from data.corruptions.edits import replaced, states_decision
from data.corruptions.registry import Example, corruption
from protocol import Call


@corruption("selection", "T201")
def misspelt_tool(example: Example, rng: Random) -> str | None:
    """Swap the last two letters of a tool's name."""
    names = [call.tool[:-2] + call.tool[-1] + call.tool[-2] for call in example.calls]
    places = [place for place, name in enumerate(names) if name not in example.plan.by_name]
    if not places:
        return None
    place = rng.choice(places)
    return replaced(example, place, tool=names[place])


@corruption("selection", "G301")
def skipped_first_tool(example: Example, _: Random) -> str | None:
    """Begin with the second tool, where the plan does not start with it and the trace still perceives something."""
    rest = example.calls[1:]
    phases = example.plan.phases
    is_start = rest[0].tool in example.plan.graph.start
    return None if is_start or phases[rest[0].tool] is not phases[example.calls[0].tool] else example.with_calls(rest)


@corruption("selection", "G302")
def skipped_tool(example: Example, rng: Random) -> str | None:
    """Leave out an inner call that the plan requires, of a phase that another call covers."""
    calls, graph, phases = example.calls, example.plan.graph, example.plan.phases
    covered = [phases[call.tool] for call in calls]
    places = [
        place
        for place in range(1, len(calls) - 1)
        if covered.count(phases[calls[place].tool]) > 1
        and calls[place + 1].tool not in graph.successors(calls[place - 1].tool)
        and not states_decision(example, calls[place])
    ]
    if not places:
        return None
    place = rng.choice(places)
    return example.with_calls([*calls[:place], *calls[place + 1 :]])


@corruption("selection", is_balancing=True)
def unlooked(example: Example, _: Random) -> str | None:
    """Leave out every look that is optional in the plan: the rest is valid, and describes less of the picture."""
    calls = list(example.calls)
    for call in reversed(example.calls[1:]):
        rest = [other for other in calls if other is not call]
        if example.plan.phases[call.tool] == "Perception" and _is_walk(example, rest):
            calls = rest
    return example.with_calls(calls) if len(calls) < len(example.calls) else None


def _is_walk(example: Example, calls: Sequence[Call]) -> bool:
    graph = example.plan.graph
    follows = all(after.tool in graph.successors(before.tool) for before, after in pairwise(calls))
    return follows and calls[0].tool in graph.start and calls[-1].tool in graph.accept


@corruption("selection", "G302", "G303")
def skipped_reasoning(example: Example, _: Random) -> str | None:
    """Decide without reasoning."""
    return example.with_calls([call for call in example.calls if example.plan.phases[call.tool] != "Reasoning"])


@corruption("selection", "G303", "G304")
def undecided(example: Example, _: Random) -> str | None:
    """Stop before the decision."""
    return example.with_calls([call for call in example.calls if example.plan.phases[call.tool] != "Decision"])


@corruption("selection", "G302", "G305")
def repeated_tool(example: Example, _: Random) -> str | None:
    """Call the first tool until the trace is longer than the plan allows."""
    first, limit = example.calls[0], example.plan.graph.max_steps
    return example.with_calls([*[first] * (limit + 1 - len(example.calls)), *example.calls, *example.calls[-1:]])


@corruption("selection", "G306")
def one_return_too_many(example: Example, _: Random) -> str | None:
    """Go round a loop once more than the plan allows, steps permitting."""
    plan, calls = example.plan, example.calls
    before = [call for call in calls if plan.phases[call.tool] != "Decision"]
    rounds = plan.graph.max_returns + 1
    is_loop = bool(before) and before[0].tool in plan.graph.successors(before[-1].tool)
    text_calls = [*before * rounds, *calls]
    return example.with_calls(text_calls) if is_loop and len(text_calls) <= plan.graph.max_steps else None


@corruption("selection", "G302", is_balancing=True)
def swapped_tools(example: Example, rng: Random) -> str | None:
    """Make two calls of one phase in the wrong order; neither is the first, the last, or a decision."""
    calls, graph, phases = example.calls, example.plan.graph, example.plan.phases
    texts = []
    for place in range(1, len(calls) - 2):
        one, other = calls[place : place + 2]
        order = [*calls[:place], other, one, *calls[place + 2 :]]
        is_illegal = any(after.tool not in graph.successors(before.tool) for before, after in pairwise(order))
        if is_illegal and phases[one.tool] is phases[other.tool] and not states_decision(example, one):
            texts.append(order)
    return example.with_calls(rng.choice(texts)) if texts else None


@corruption("selection", "G302", is_balancing=True)
def stuttered_tool(example: Example, rng: Random) -> str | None:
    """Make a call twice in a row where the plan does not let it follow itself, steps permitting."""
    calls, graph = example.calls, example.plan.graph
    places = [place for place, call in enumerate(calls) if call.tool not in graph.successors(call.tool)]
    if not places or len(calls) >= graph.max_steps:
        return None
    place = rng.choice(places)
    return example.with_calls([*calls[: place + 1], *calls[place:]])


@corruption("selection", "T201", is_balancing=True)
def invented_tool(example: Example, rng: Random) -> str | None:
    """Call a tool that nobody has declared, steps permitting."""
    calls = list(example.calls)
    if len(calls) >= example.plan.graph.max_steps:
        return None
    name = rng.choice(
        [name for name in ("TONE-CHECK", "FACT-FINDER", "MOOD-METER") if name not in example.plan.by_name]
    )
    calls.insert(rng.randint(1, len(calls) - 1), Call(name, {"note": rng.choice(("nothing of note", "fine", "calm"))}))
    return example.with_calls(calls)


@corruption("selection", "T201", is_balancing=True)
def renamed_tool(example: Example, rng: Random) -> str | None:
    """Call a tool by the first part of its name alone."""
    places = [
        (place, short)
        for place, call in enumerate(example.calls)
        if (short := call.tool.split("-")[0]) not in example.plan.by_name
    ]
    if not places:
        return None
    place, short = rng.choice(places)
    return replaced(example, place, tool=short)
