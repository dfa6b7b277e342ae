"""The schema of a plan's record derives from the definition: it accepts every plan and rejects broken records."""

import json

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from llguidance import LLMatcher

from protocol import SpecError
from protocol.keys.types import AnyKeyType
from protocol.plans.plan import plan_from_record
from protocol.plans.schema import plan_schema, selection_schema
from tests.protocol.strategies import plans
from toolkit.planner import named_plan

VALIDATOR = Draft202012Validator(plan_schema())
TOOLS = named_plan("everyday").by_name


def test_it_is_a_schema_with_every_key_type():
    Draft202012Validator.check_schema(plan_schema())
    text = json.dumps(plan_schema())
    assert all(f'{{"const": "{key_type.name}"}}' in text for key_type in AnyKeyType.__args__)


@given(plans())
def test_it_takes_every_plan(plan):
    assert VALIDATOR.is_valid(json.loads(plan.to_json()))


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
def test_it_refuses_what_cannot_be_read(record):
    assert not VALIDATOR.is_valid(record)
    with pytest.raises(SpecError):
        plan_from_record(record)


def test_a_selection_chooses_by_name_and_engines_can_constrain_to_it():
    schema = selection_schema(["guide", "reader"], TOOLS)
    graph = json.loads(named_plan("everyday").to_json())["graph"]
    record = {"persona": "guide", "tools": list(TOOLS), "graph": graph, "reason": "a plain question"}
    validator = Draft202012Validator(schema)
    assert validator.is_valid(record)
    for wrong in ({"persona": "villain"}, {"tools": ["SHELL"]}, {"tools": []}, {"graph": {**graph, "edges": [["A"]]}}):
        assert not validator.is_valid(record | wrong)
    assert not validator.is_valid({name: record[name] for name in record if name != "reason"})
    assert LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema)) == ""
