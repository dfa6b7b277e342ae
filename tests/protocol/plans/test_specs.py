"""An impossible key type, tool, graph or plan is rejected at its creation, with one error that names the part."""

import json
from dataclasses import replace

import pytest

from protocol import Decision, Key, Persona, Phase, Plan, Role, SpecError, Tool, custom_tool
from protocol.keys.numbers import Integer, Number
from protocol.keys.types import Enum, Flag, List, Text, type_from_json, type_to_json
from protocol.plans.graph import Graph
from toolkit.planner import named_plan

SEE, WEIGH, DO = (custom_tool(name, phase) for name, phase in zip(("SEE", "WEIGH", "DO"), Phase, strict=True))
CHAIN = Graph("custom", (("SEE", "WEIGH"), ("WEIGH", "DO")), ("SEE",), ("DO",))
EXTRA = custom_tool("EXTRA", Phase.REASONING)


def plan(graph, *tools):
    return Plan(Persona("t", "t"), (SEE, WEIGH, DO, *tools), graph)


def test_a_chain_is_a_plan():
    assert [state.tool for state in plan(CHAIN).walker.states()] == ["SEE", "WEIGH", "DO"]


IMPOSSIBLE = {
    "unknown tool": (replace(CHAIN, edges=(*CHAIN.edges, ("DO", "GONE"))), (), "GONE is not a tool of the plan"),
    "unreachable tool": (CHAIN, (EXTRA,), "EXTRA cannot be reached from SEE; add an edge to it or leave it out"),
    "dead end": (
        replace(CHAIN, edges=(*CHAIN.edges, ("SEE", "EXTRA"))),
        (EXTRA,),
        r"EXTRA is a dead end: no accepting tool \(DO\) can be reached from it",
    ),
    "end out of reach": (
        replace(CHAIN, edges=CHAIN.edges[:1]),
        (),
        "SEE is a dead end.* DO cannot be reached from SEE",
    ),
    "return not allowed": (
        replace(CHAIN, edges=(*CHAIN.edges, ("WEIGH", "SEE"))),
        (),
        "the edge WEIGH -> SEE can never be taken: it goes back to an earlier phase, and max_returns is 0",
    ),
    "tool only behind a return": (
        replace(CHAIN, edges=(*CHAIN.edges, ("DO", "EXTRA"), ("EXTRA", "DO"))),
        (EXTRA,),
        "EXTRA lies on no path from start to end within max_steps 12 and max_returns 0; raise them",
    ),
    "edge out of steps": (
        replace(CHAIN, edges=(*CHAIN.edges, ("WEIGH", "WEIGH")), max_steps=3),
        (),
        "the edge WEIGH -> WEIGH can never be taken: with what has to follow it does not fit max_steps 3",
    ),
    "accept twice": (replace(CHAIN, accept=("DO", "DO")), (), "accept DO is listed twice"),
    "missing phase": (replace(CHAIN, edges=(*CHAIN.edges, ("SEE", "DO"))), (), "SEE -> DO has no Reasoning call"),
    "no perception": (replace(CHAIN, start=("SEE", "WEIGH")), (), "WEIGH -> DO has no Perception call"),
    "accept outside Decision": (replace(CHAIN, accept=("DO", "WEIGH")), (), "accepts after WEIGH, which is Reasoning"),
    "no start": (replace(CHAIN, start=()), (), "no start tool"),
    "no end": (replace(CHAIN, accept=()), (), "no accepting tool"),
    "too few steps": (replace(CHAIN, max_steps=2), (), "SEE lies on no path from start to end within max_steps 2"),
    "no steps": (replace(CHAIN, max_steps=0), (), "max_steps must be 1 to 100, found 0"),
    "endless": (replace(CHAIN, max_steps=10**6), (), "max_steps must be 1 to 100, found 1000000"),
    "edge twice": (replace(CHAIN, edges=CHAIN.edges * 2), (), "SEE -> WEIGH is listed twice"),
    "start twice": (replace(CHAIN, start=("SEE", "SEE")), (), "start SEE is listed twice"),
    "tool twice": (CHAIN, (SEE,), "SEE is listed twice"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_graph_is_one_error_that_names_the_fault(name):
    graph, tools, fault = IMPOSSIBLE[name]
    with pytest.raises(SpecError, match=fault):
        plan(graph, *tools)


def test_a_plan_whose_every_path_contradicts_itself_is_refused():
    gate = Tool("GATE", Phase.DECISION, (Key("decision", Enum(("comply",)), role=Role.DECISION),))
    refusal = Tool("REFUSAL", Phase.DECISION, (Key("tone", Flag()),), implies=Decision.REFUSE)
    edges = (("SEE", "WEIGH"), ("WEIGH", "GATE"), ("GATE", "REFUSAL"))
    graph = Graph("custom", edges, ("SEE",), ("REFUSAL",))
    with pytest.raises(SpecError, match=r"no trace can state one decision throughout; .* over GATE, REFUSAL"):
        Plan(Persona("t", "t"), (SEE, WEIGH, gate, refusal), graph)
    accepting = Plan(Persona("t", "t"), (SEE, WEIGH, gate, refusal), replace(graph, accept=("GATE", "REFUSAL")))
    assert accepting.decisions == {Decision.COMPLY}
    assert plan(CHAIN).decisions == set()
    assert named_plan("any").decisions == set(Decision)


def test_all_faults_of_a_graph_are_told_at_once():
    graph = replace(CHAIN, edges=(("SEE", "DO"), ("WEIGH", "DO")), accept=("DO", "SEE"))
    with pytest.raises(SpecError) as raised:
        plan(graph)
    assert all(name in str(raised.value) for name in ("WEIGH cannot be reached", "accepts after SEE", "no Reasoning"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Text(1, 2),
        lambda: Text(0),
        lambda: Text(2.5),
        lambda: Text(5, -1),
        lambda: Enum(()),
        lambda: Enum(("a", "a")),
        lambda: Enum(("true",)),
        lambda: Enum(("two words",)),
        lambda: Enum("abc"),
        lambda: Number(1, 0),
        lambda: Number(0, float("inf")),
        lambda: Number(float("nan"), 1),
        lambda: Number(0, 1, 5),
        lambda: Number(0, 1, -1),
        lambda: Number(0.001, 0.002, 2),
        lambda: Number(True, 1),
        lambda: Integer(0, 10**6),
        lambda: List(Flag(), 3),
        lambda: List(Text(3), 0),
        lambda: List(Text(3), 1, 2),
        lambda: Key("Name", Text()),
        lambda: Key("a b", Text()),
        lambda: Tool("lower", Phase.REASONING, (Key("a", Text()),)),
        lambda: Tool("A--B", Phase.REASONING, (Key("a", Text()),)),
        lambda: Tool("A", Phase.REASONING, ()),
        lambda: Tool("A", Phase.REASONING, (Key("a", Text()), Key("a", Flag()))),
        lambda: type_from_json({"type": "date"}),
        lambda: type_from_json({"type": "text", "maximum": 3}),
        lambda: type_from_json({"type": "text", "max_length": "3"}),
        lambda: type_from_json({"type": "enum", "words": "abc"}),
        lambda: type_from_json({"type": "enum", "words": [1]}),
        lambda: type_from_json({"type": "list", "item": "text"}),
        lambda: type_from_json({"type": "number", "minimum": "0"}),
    ],
)
def test_an_impossible_type_key_or_tool_is_refused(make):
    with pytest.raises(SpecError):
        make()


@pytest.mark.parametrize(
    "key_type",
    [
        Text(3, 1),
        Enum(("a", "b")),
        Number(-0.5, 0.5, 1),
        Integer(-1, 5),
        Flag(),
        List(Enum(("a",)), 2, 1),
        List(Text(3)),
    ],
    ids=str,
)
def test_a_key_type_survives_json(key_type):
    assert type_from_json(json.loads(json.dumps(type_to_json(key_type)))) == key_type


BROKEN = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "expected a JSON object"),
    "no persona": ({"persona": None}, "plan.persona"),
    "no tools": ({"tools": None}, "plan.tools"),
    "no graph": ({"graph": None}, "plan.graph"),
    "unknown phase": ({"tools": [{"name": "A", "phase": "Guessing", "keys": []}]}, "tool A: 'Guessing'"),
    "no keys": ({"tools": [{"name": "A", "phase": "Reasoning"}]}, "tool A: the field 'keys' is missing"),
    "a key that is none": ({"tools": [{"name": "A", "phase": "Reasoning", "keys": ["a"]}]}, "tool A"),
    "edges of three": ({"graph": {"edges": [["A", "B", "C"]], "start": [], "accept": []}}, "graph"),
    "steps in words": ({"graph": {"edges": [], "start": [], "accept": [], "max_steps": "few"}}, "graph"),
    "unknown tool": (
        {"graph": {"edges": [["A", "B"]], "start": ["A"], "accept": ["B"]}},
        "A is not a tool of the plan",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plan_file_is_one_error(name):
    change, fault = BROKEN[name]
    text = change if isinstance(change, str) else json.dumps(json.loads(named_plan("any").to_json()) | change)
    with pytest.raises(SpecError, match=fault):
        Plan.from_json(text)


def test_equal_plan_texts_give_the_same_object():
    text = named_plan("alarm").to_json()
    assert Plan.from_json(text) is Plan.from_json(text)
