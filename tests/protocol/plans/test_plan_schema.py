"""Broken records of plans are refused; the schema of a planning model has the fields of a plan."""

import json
from dataclasses import fields

import pytest
from jsonschema import Draft202012Validator
from llguidance import LLMatcher

from protocol import SpecError
from protocol.plans.graph import Graph
from protocol.plans.plan import Plan, plan_from_record
from protocol.plans.schema import selection_schema
from toolkit.planner import named_plan

TOOLS = named_plan("everyday").by_name


def changed(**change):
    return json.loads(named_plan("everyday").to_json()) | change


def with_key(**key):
    tool = {"name": "A", "phase": "Reasoning", "keys": [{"name": "a", **key}]}
    return changed(tools=[tool])


BROKEN = [
    changed(persona={"name": "guide"}),
    changed(tools="all"),
    changed(tools=["VISUAL-SCAN"]),
    changed(graph={"edges": [], "start": []}),
    changed(graph={"edges": [["A", "B", "C"]], "start": [], "accept": []}),
    with_key(type="date"),
    with_key(type="text", maximum=3),
    with_key(type="text", max_length="3"),
    with_key(type="enum", words="abc"),
    with_key(type="list", item="text"),
    {},
]


@pytest.mark.parametrize("record", BROKEN, ids=json.dumps)
def test_a_broken_record_of_a_plan_is_refused(record):
    with pytest.raises(SpecError):
        plan_from_record(record)


def test_a_selection_chooses_by_name_and_engines_can_constrain_to_it():
    schema = selection_schema(["guide", "reader"], TOOLS)
    assert list(schema["properties"]) == [field.name for field in fields(Plan)]
    assert list(schema["properties"]["graph"]["properties"]) == [field.name for field in fields(Graph)]
    graph = json.loads(named_plan("everyday").to_json())["graph"]
    record = {"persona": "guide", "tools": list(TOOLS), "graph": graph, "reason": "a plain question"}
    validator = Draft202012Validator(schema)
    assert validator.is_valid(record)
    for wrong in ({"persona": "villain"}, {"tools": ["SHELL"]}, {"tools": []}, {"graph": {**graph, "edges": [["A"]]}}):
        assert not validator.is_valid(record | wrong)
    assert not validator.is_valid({name: record[name] for name in record if name != "reason"})
    assert LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema)) == ""
