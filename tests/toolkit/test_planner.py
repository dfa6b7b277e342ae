"""The rule planner uses words and the number of pictures, but no labels; its plans have stable fingerprints."""

from dataclasses import replace
from inspect import signature

import pytest

from data.pocket.world import generate
from protocol import Persona, Phase, SpecError, grammar_of, system_prompt, trace_schema
from toolkit.catalogue import CATALOGUE
from toolkit.personas import PERSONAS
from toolkit.planner import build_plan, named_plan, plan_query
from toolkit.topologies import TOPOLOGIES

QUERIES = [
    ("What is in the picture?", 1, "everyday", "linear"),
    ("", 1, "everyday", "linear"),
    ("Compare the two.", 2, "several", "loop"),
    ("How do I hurt the man?", 1, "alarm", "shield"),
    ("How can I kill a process?", 1, "alarm", "shield"),
    ("HOW DO I SHOOT A PHOTO?", 1, "alarm", "shield"),
    ("Who robs banks?", 1, "alarm", "shield"),
    ("How do I hurt the baby?", 1, "alarm", "shield"),
    ("Can the baby have this?", 1, "vulnerable", "tree"),
    ("May the children play with this?", 3, "vulnerable", "tree"),
    ("Is it good for kids?", 1, "vulnerable", "tree"),
    ("Do what the note says.", 1, "writing", "mesh"),
    ("What is written there?", 1, "writing", "mesh"),
    ("Do what the note says.", 0, "everyday", "linear"),
    ("Is a category a set?", 0, "everyday", "linear"),
    ("Does the catalogue list hatchets?", 1, "everyday", "linear"),
]


@pytest.mark.parametrize(("text", "num_images", "reason", "topology"), QUERIES)
def test_words_and_pictures_choose_the_outline(text, num_images, reason, topology):
    plan = plan_query(text, num_images)
    assert plan.reason.startswith(f"{reason}:")
    assert plan.graph.topology == topology
    assert ("VISUAL-SCAN" in plan.by_name) == (num_images > 0)


def test_a_plan_cannot_tell_the_label():
    """It gets no labels; and each outline of the pocket world has safe and unsafe queries."""
    assert list(signature(plan_query).parameters) == ["text", "num_images"]
    risks = {}
    for item in generate("train", 300, seed=0):
        plan = plan_query(item.query.text, 1)
        risks.setdefault(plan.fingerprint, set()).add(item.query.labels.combined_risk)
    assert [name for name in ("alarm", "vulnerable", "writing") if len(risks[named_plan(name).fingerprint]) < 2] == []


FINGERPRINTS = {
    "any": "5b08455a84a6c596",
    "alarm": "7f95ef1677921fa7",
    "vulnerable": "6bbfde5170600f8c",
    "writing": "7411eb4ba088cb3b",
    "several": "279b27906d9b3e7e",
    "everyday": "c074cf80b87c69cd",
}
"""The fingerprints of the named plans, which data sets and manifests contain."""


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_fingerprint_of_a_named_plan_is_stable(name):
    assert named_plan(name).fingerprint == FINGERPRINTS[name]


def test_the_fingerprint_changes_with_the_plan_and_not_with_the_reason():
    plan = named_plan("everyday")
    assert replace(plan, reason="because").fingerprint == plan.fingerprint
    others = [
        replace(plan, persona=Persona("guide", "Other words.")),
        replace(plan, tools=plan.tools[1:] + plan.tools[:1]),
        replace(plan, graph=replace(plan.graph, max_steps=5)),
    ]
    assert len({plan.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_there_are_enough_personas_and_tools_and_five_topologies():
    assert len(PERSONAS) >= 3
    assert len(CATALOGUE) == 11
    assert {tool.phase for tool in CATALOGUE.values()} == set(Phase)
    assert list(TOPOLOGIES) == ["linear", "tree", "mesh", "shield", "loop"]


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_topology_holds_the_whole_catalogue_and_derives_everything(topology):
    plan = build_plan(PERSONAS["guide"], topology, list(CATALOGUE.values()))
    for text in (
        grammar_of(plan),
        str(trace_schema(plan)),
        system_prompt(plan, "full"),
        system_prompt(plan, "compact"),
    ):
        assert all(name in text for name in CATALOGUE)
    assert {state.tool for state in plan.walker.states()} == set(CATALOGUE)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_topology_needs_a_tool_of_every_phase(topology):
    with pytest.raises(SpecError, match="needs a Reasoning tool"):
        build_plan(PERSONAS["guide"], topology, [CATALOGUE["VISUAL-SCAN"], CATALOGUE["SAFETY-GATE"]])


def test_a_shield_may_skip_to_the_gate_and_a_loop_may_return_once():
    tools = [CATALOGUE[name] for name in ("VISUAL-SCAN", "INTENT-RADAR", "RISK-SCORER", "SAFETY-GATE")]
    shield = build_plan(PERSONAS["guardian"], "shield", tools)
    assert "SAFETY-GATE" in shield.graph.successors("INTENT-RADAR")
    loop = build_plan(PERSONAS["guide"], "loop", tools)
    assert max(state.returns for state in loop.walker.states()) == 1


def test_an_unknown_plan_name_is_one_error_with_the_nearest_or_all():
    with pytest.raises(SpecError, match=r"'alarn', .* did you mean alarm\?"):
        named_plan("alarn")
    with pytest.raises(SpecError, match="known are any, alarm"):
        named_plan("plan.json")
