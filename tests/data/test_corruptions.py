"""Reference traces have no faults, and every corruption causes exactly its stated codes."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from data.corruptions import CORRUPTIONS, CorruptionError, Example, corrupt
from data.corruptions.precision import measure_precision, with_custom_tools
from data.corruptions.registry import corruption
from data.pocket.world import generate
from data.synthesis import SynthesisError, reference_path, reference_response, template_args
from protocol import Decision, Key, Labels, Phase, Tool, accepts, canonical, custom_tool, diagnose
from protocol.keys.numbers import Number
from toolkit.catalogue import CATALOGUE
from toolkit.personas import GUIDE
from toolkit.planner import build_plan, named_plan, plan_query
from toolkit.sampling import SamplingPlanner
from toolkit.topologies import TOPOLOGIES

NEEDS_ANOTHER_PLAN = {"one_return_too_many"}
"""Applies only to loops, which the planner chooses for several pictures; the pocket world has one picture."""


@pytest.fixture(scope="module")
def queries():
    return [item.query for item in generate("train", 200, seed=11)]


def honest(query, plan=None):
    plan = plan or plan_query(query.text, len(query.images))
    return Example(query, plan, reference_response(query, plan))


@pytest.mark.slow
def test_a_reference_response_is_canonical_and_without_a_diagnostic(queries):
    for example in map(honest, queries):
        text = example.response.render()
        verdict = diagnose(text, example.plan, example.query.labels)
        assert verdict.diagnostics == ()
        assert verdict.response == canonical(example.response, example.plan) == example.response
        assert accepts(text, example.plan)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_reference_response_fits_every_topology_over_the_whole_catalogue(queries, topology):
    plan = build_plan(GUIDE, topology, list(CATALOGUE.values()))
    for example in (honest(query, plan) for query in queries[:40]):
        assert diagnose(example.response.render(), plan, example.query.labels).diagnostics == ()


@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("name", ["any", "alarm", "vulnerable", "writing", "several", "everyday"])
def test_a_reference_path_ends_in_agreement_with_its_decision(name, decision):
    path = reference_path(named_plan(name), decision)
    assert path[-1].name in named_plan(name).graph.accept
    assert {tool.implies for tool in path} <= {None, decision}
    assert len({tool.name for tool in path}) == len(path)


@pytest.mark.slow
def test_every_corruption_causes_exactly_its_codes_wherever_it_applies(queries):
    applied = Counter()
    for example in map(honest, queries):
        for name in CORRUPTIONS:
            applied[name] += corrupt(name, example, Random(f"{example.query.id} {name}")) is not None
    assert {name for name in CORRUPTIONS if not applied[name]} == NEEDS_ANOTHER_PLAN
    assert len(CORRUPTIONS) == 46
    assert applied.total() > 4500


def test_every_corruption_is_exact_under_a_loop_too(queries):
    for query in queries[:40]:
        example = honest(query, named_plan("several"))
        assert corrupt("one_return_too_many", example, Random(0)) is not None
        for name in CORRUPTIONS:
            corrupt(name, example, Random(0))


def test_a_corruption_that_does_not_do_what_it_says_cannot_pass(queries):
    corruption("form", "S101")(lambda example, _: example.response.render())
    try:
        with pytest.raises(CorruptionError, match=r"caused \[\], expected \['S101'\]"):
            corrupt("<lambda>", honest(queries[0]), Random(0))
    finally:
        del CORRUPTIONS["<lambda>"]


def test_the_same_seed_spoils_the_same_way(queries):
    for name in CORRUPTIONS:
        assert corrupt(name, honest(queries[0]), Random(3)) == corrupt(name, honest(queries[0]), Random(3))


def test_a_query_that_says_too_little_has_no_reference(queries):
    plan = named_plan("everyday")
    with pytest.raises(SynthesisError, match="image_risk, text_risk"):
        reference_response(replace(queries[0], labels=Labels()), plan)
    with pytest.raises(SynthesisError, match="needs a reference answer"):
        reference_response(replace(queries[0], answers={}), plan)


@pytest.mark.slow
def test_corruptions_cause_exactly_their_codes_under_sampled_plans_too():
    """`corrupt` raises if they do not."""
    applied = set()
    for item in generate("train", 60, seed=0):
        example = honest(item.query, SamplingPlanner(0)(item.query.text, 1))
        applied |= {name for name in CORRUPTIONS if corrupt(name, example, Random(0)) is not None}
    assert applied == set(CORRUPTIONS)


def test_without_a_stated_risk_there_is_no_decision_against_it():
    tools = [CATALOGUE[name] for name in ("VISUAL-SCAN", "INTENT-RADAR", "SAFETY-GATE")]
    example = honest(next(generate("train", 1, seed=0)).query, build_plan(GUIDE, "linear", tools))
    for name in ("decision_against_risk", "unsafe_compliance", "needless_refusal"):
        assert corrupt(name, example, Random(0)) is None


def test_corruptions_cause_exactly_their_codes_under_custom_tools_too():
    applied = set()
    for item in generate("train", 40, seed=2):
        plan = with_custom_tools(SamplingPlanner(1)(item.query.text, 1))
        example = honest(item.query, plan)
        assert diagnose(example.response.render(), plan, item.query.labels).diagnostics == ()
        applied |= {name for name in CORRUPTIONS if corrupt(name, example, Random(0)) is not None}
    assert applied >= set(CORRUPTIONS) - NEEDS_ANOTHER_PLAN


def test_precision_counts_what_a_corruption_causes_instead(queries):
    examples = list(map(honest, queries[:20]))
    assert measure_precision("missing_key", examples, 12).share == 1.0
    assert measure_precision("missing_key", examples, 12).num_applied == 12
    assert measure_precision("one_return_too_many", examples, 12).share is None
    corruption("form", "S101")(lambda example, _: example.response.render().replace("</answer>", ""))
    try:
        wrong = measure_precision("<lambda>", examples, 12)
        assert (wrong.share, wrong.caused_instead) == (0.0, {"S103": 12})
    finally:
        del CORRUPTIONS["<lambda>"]


def test_a_custom_tool_has_a_reference_call_and_a_tool_of_unknown_keys_has_none(queries):
    note = template_args(custom_tool("TONE-CHECK", Phase.REASONING), queries[0])
    assert list(note) == ["note"]
    unknown = Tool("DEPTH-GAUGE", Phase.PERCEPTION, (Key("depth", Number(0, 9, 1)),))
    with pytest.raises(SynthesisError, match="no template for DEPTH-GAUGE"):
        template_args(unknown, queries[0])
