"""The rule planner: query -> plan, from the user's words and the number of pictures alone, with a recorded reason.

It does not judge; it decides how closely to look. Alarming words get a guard and a gate, even if they are meant
harmlessly; questions about vulnerable people get a context check and a way to redirect; questions that point at writing
in the picture get a reader. So a plan tells nothing about the label.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Protocol

import yaml

from protocol import Persona, Plan, SpecError, Tool
from protocol.nearest import nearest
from toolkit.catalogue import CATALOGUE, PICTURE_TOOLS
from toolkit.personas import CARER, GUARDIAN, GUIDE, READER
from toolkit.topologies import TOPOLOGIES


class Planner(Protocol):
    """Chooses a plan for a query: `plan_query` here, `toolkit.sampling` and `toolkit.llm_planner` beside it."""

    def __call__(self, text: str, num_images: int) -> Plan:
        """Return the plan for the user's words and the number of pictures that come with them."""
        ...


@dataclass(frozen=True, slots=True)
class Outline:
    """A plan before its reason is known."""

    persona: Persona
    topology: str
    tools: tuple[str, ...]


_OUTLINES = {
    "alarm": Outline(
        GUARDIAN,
        "shield",
        (
            "KEYWORD-FLAGGING",
            "VISUAL-SCAN",
            "INTENT-RADAR",
            "RISK-SCORER",
            "SAFETY-GATE",
            "REFUSAL-GENERATOR",
        ),
    ),
    "vulnerable": Outline(
        CARER,
        "tree",
        (
            "VISUAL-SCAN",
            "INTENT-RADAR",
            "CONTEXT-CHECK",
            "RISK-SCORER",
            "SAFETY-GATE",
            "REDIRECT-ENGINE",
            "REFUSAL-GENERATOR",
        ),
    ),
    "writing": Outline(
        READER,
        "mesh",
        (
            "OCR-EXTRACT",
            "VISUAL-SCAN",
            "INTENT-RADAR",
            "JAILBREAK-SENTINEL",
            "RISK-SCORER",
            "SAFETY-GATE",
            "REFUSAL-GENERATOR",
        ),
    ),
    "several": Outline(
        GUIDE, "loop", ("VISUAL-SCAN", "CROSS-MODAL-SYNC", "INTENT-RADAR", "RISK-SCORER", "SAFETY-GATE")
    ),
    "everyday": Outline(GUIDE, "linear", ("VISUAL-SCAN", "INTENT-RADAR", "RISK-SCORER", "SAFETY-GATE")),
}


@cache
def _words() -> dict[str, re.Pattern[str]]:
    """Return a pattern for each list of words in `cues.yaml`."""
    lists = yaml.safe_load(files("toolkit").joinpath("cues.yaml").read_text(encoding="utf-8"))
    return {name: re.compile(rf"\b(?:{'|'.join(words)})s?\b", re.IGNORECASE) for name, words in lists.items()}


def cues(text: str, name: str) -> tuple[str, ...]:
    """Return the cue words of a list (`cues.yaml`) that a text holds, lower case, each once, in order."""
    return tuple(dict.fromkeys(match[0].lower() for match in _words()[name].finditer(text)))


def plan_query(text: str, num_images: int) -> Plan:
    """Return the plan for a query.

    Args:
        text: the user's words.
        num_images: how many pictures come with them; without one, tools that look at pictures are left out.
    """
    for name, pattern in _words().items():
        found = pattern.search(text)
        if found and not (name == "writing" and num_images == 0):
            return _plan(_OUTLINES[name], num_images, f"{name}: the question says {found[0]!r}")
    if num_images > 1:
        return _plan(_OUTLINES["several"], num_images, f"several: {num_images} pictures to compare")
    return _plan(_OUTLINES["everyday"], num_images, "everyday: nothing in the words calls for more")


def _plan(outline: Outline, num_images: int, reason: str) -> Plan:
    return replace(_outlined(outline, num_images > 0), reason=reason)


@cache
def _outlined(outline: Outline, has_image: bool) -> Plan:
    names = outline.tools if has_image else _without_pictures(outline.tools)
    return build_plan(outline.persona, outline.topology, [CATALOGUE[name] for name in names])


def _without_pictures(names: Sequence[str]) -> tuple[str, ...]:
    visual = {tool.name for tool in PICTURE_TOOLS}
    return tuple(dict.fromkeys(["KEYWORD-FLAGGING", *(name for name in names if name not in visual)]))


def build_plan(persona: Persona, topology: str, tools: Sequence[Tool]) -> Plan:
    """Return the plan of a persona, a named topology and tools in order.

    Raises:
        SpecError: a phase has no tool, or the graph cannot be walked.
    """
    return Plan(persona, tuple(tools), TOPOLOGIES[topology](tools))


def named_plan(name: str) -> Plan:
    """Return a plan by name: one of the rule planner's outlines, or "any", a mesh over the whole catalogue.

    Raises:
        SpecError: there is no plan of that name.
    """
    if name == "any":
        return build_plan(GUIDE, "mesh", tuple(CATALOGUE.values()))
    if name not in _OUTLINES:
        known = ("any", *_OUTLINES)
        hint = nearest(name, known) or f"known are {', '.join(known)}"
        raise SpecError(f"there is no plan named {name!r}, and no such file; {hint}")
    return _outlined(_OUTLINES[name], has_image=True)
