"""How fast a response is validated, beside what checks less: `make bench`. A plain `pytest` runs each once.

All three get the same typical responses. The schema is given the trace already parsed, and the published pattern only
counts calls; neither knows the order of calls, the answer, coherence or evidence.
"""

import re

import pytest
from jsonschema import Draft202012Validator

from data.pocket.world import generate
from data.synthesis import reference_response
from protocol import Plan, diagnose, trace_schema
from toolkit.planner import plan_query

PUBLISHED = re.compile(r"\[([A-Z0-9_-]+)\]\s*:")


@pytest.fixture(scope="module")
def responses():
    """A hundred responses of five calls, with their plans and labels."""
    found = []
    for query in (item.query for item in generate("train", 1000, seed=0)):
        plan = Plan.from_json(plan_query(query.text, 1).to_json())
        response = reference_response(query, plan)
        if len(response.trace.calls) == 5:
            found.append((response.render(), plan, query.labels))
    assert len(found) >= 100
    return found[:100]


@pytest.mark.benchmark(group="100 responses of five calls")
def test_full_validation(benchmark, responses):
    verdicts = benchmark(lambda: [diagnose(text, plan, labels) for text, plan, labels in responses])
    assert all(verdict.is_valid for verdict in verdicts)


@pytest.mark.benchmark(group="100 responses of five calls")
def test_json_schema_of_traces_already_parsed(benchmark, responses):
    validators = {plan: Draft202012Validator(trace_schema(plan)) for _, plan, _ in responses}
    pairs = [(validators[plan], diagnose(text, plan).response.trace.to_json()) for text, plan, _ in responses]
    assert all(benchmark(lambda: [validator.is_valid(trace) for validator, trace in pairs]))


@pytest.mark.benchmark(group="100 responses of five calls")
def test_published_pattern_that_counts_calls(benchmark, responses):
    counts = benchmark(lambda: [len(PUBLISHED.findall(text)) for text, _, _ in responses])
    assert set(counts) == {5}
