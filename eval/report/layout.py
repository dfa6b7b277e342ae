"""Computes the layout of a plan's graph: an arc diagram with one tool in each row and phases from top to bottom.

This is only geometry, in units of the drawing; `templates/graph.js` draws it, with the path of a response. One column
keeps every name readable, beside three other stages or on a phone. Steps to the next row are straight lines, steps
further down are arcs on the right, and steps back are arcs on the left.
"""

from typing import Any

from protocol.plans.plan import Plan

NODE_WIDTH, NODE_HEIGHT = 146, 28
GAP = 20
"""Distance between two rows."""
GUTTER = 52
"""Space for the arcs, on each side."""


def graph_layout(plan: Plan) -> dict[str, Any]:
    """Return the drawing of a plan's graph as a JSON object.

    Returns:
        "width" and "height"; "nodes" from top to bottom, each with "name", "phase", "x" and "y" (of its centre),
        "start" and "accept"; "edges" as pairs of indices of nodes.
    """
    tools = sorted(plan.tools, key=lambda tool: tool.phase.rank)  # stable: tools keep their order within a phase
    place = {tool.name: index for index, tool in enumerate(tools)}
    nodes = [
        {
            "name": tool.name,
            "phase": str(tool.phase),
            "x": GUTTER + NODE_WIDTH / 2,
            "y": GAP + NODE_HEIGHT / 2 + index * (NODE_HEIGHT + GAP),
            "start": tool.name in plan.graph.start,
            "accept": tool.name in plan.graph.accept,
        }
        for index, tool in enumerate(tools)
    ]
    return {
        "width": 2 * GUTTER + NODE_WIDTH,
        "height": GAP + len(tools) * (NODE_HEIGHT + GAP),
        "nodes": nodes,
        "edges": [[place[source], place[target]] for source, target in plan.graph.edges],
    }
