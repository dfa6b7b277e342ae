"""Compares the speed of validation with other checks: `make bench`. Plain `pytest` runs each test once.

All checks get the same typical responses: five calls, 600 to 900 characters. The schema gets the parsed trace, the
published pattern only counts calls, and Earley is lark's general parser for the plan's grammar. None of them checks
coherence or evidence, and only the last one checks the graph. One round is one pass over all responses.
"""

import re
from dataclasses import replace
from itertools import cycle, islice

import pytest
from jsonschema import Draft202012Validator
from lark import Lark

from data.pocket.world import generate
from data.synthesis import reference_response
from protocol import Plan, diagnose, grammar_of, trace_schema
from toolkit.planner import plan_query

PUBLISHED = re.compile(r"\[([A-Z0-9_-]+)\]\s*:")
NUM_RESPONSES = 100
PUBLISHED_SIZE = 31_654
"""Rows of the published data set."""
FULLER = ", as far as it can be told from the picture and from the words that came with it, and on a second look too"
"""Words that a larger model adds to a sentence."""


def typical(response, plan):
    """Return the response with longer texts, as far as its plan allows, and unchanged claims."""

    def wordy(call):
        keys = plan.by_name[call.tool].by_name
        free = {name for name in call.args if keys[name].type.name == "text" and keys[name].role is None}
        fuller = {name: f"{call.args[name]}{FULLER}"[: keys[name].type.max_length] for name in free}
        return replace(call, args=call.args | fuller)

    trace = replace(response.trace, calls=tuple(map(wordy, response.trace.calls)))
    return replace(response, trace=trace, answer=response.answer + FULLER)


@pytest.fixture(scope="module")
def responses():
    """Responses of five calls, with their plans and labels."""
    found = []
    for query in (item.query for item in generate("train", 1000, seed=0)):
        plan = Plan.from_json(plan_query(query.text, 1).to_json())
        response = typical(reference_response(query, plan), plan)
        if len(response.trace.calls) == 5:
            found.append((response.render(), plan, query.labels))
    return found[:NUM_RESPONSES]


def test_the_responses_are_typical(responses):
    lengths = [len(text) for text, _, _ in responses]
    assert len(lengths) == NUM_RESPONSES
    assert 600 <= sum(lengths) / NUM_RESPONSES <= 900


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


@pytest.mark.benchmark(group="100 responses of five calls", max_time=20, min_rounds=3)
def test_earley_parser_of_the_grammar(benchmark, responses):
    parsers = {plan: Lark(grammar_of(plan), parser="earley", lexer="dynamic") for _, plan, _ in responses}
    trees = benchmark(lambda: [parsers[plan].parse(text) for text, plan, _ in responses])
    assert {tree.data for tree in trees} == {"start"}


@pytest.mark.benchmark(group="31,654 responses, the published number of rows", max_time=1, min_rounds=3)
def test_full_validation_of_as_many_as_were_published(benchmark, responses):
    size = NUM_RESPONSES if benchmark.disabled else PUBLISHED_SIZE

    def validate():
        rows = islice(cycle(responses), size)
        return sum(diagnose(text, plan, labels).is_valid for text, plan, labels in rows)

    assert benchmark(validate) == size
