"""The sampling planner: the same plan for the same seed and query, and every part of the toolkit is used."""

from collections import Counter

import pytest

from data.pocket.world import generate
from data.synthesis import reference_path, reference_response
from protocol import Decision, Role, diagnose
from toolkit.catalogue import CATALOGUE, PICTURE_TOOLS
from toolkit.personas import PERSONAS
from toolkit.sampling import SamplingPlanner
from toolkit.topologies import TOPOLOGIES

PLANS = [SamplingPlanner(seed=0)(f"question {number}", 1) for number in range(300)]


def test_every_persona_topology_and_tool_is_used():
    assert {plan.persona.name for plan in PLANS} == set(PERSONAS)
    assert {plan.graph.topology for plan in PLANS} == set(TOPOLOGIES)
    counts = Counter(tool.name for plan in PLANS for tool in plan.tools)
    assert set(counts) == set(CATALOGUE)
    assert min(counts.values()) >= 100
    assert len({plan.fingerprint for plan in PLANS}) >= 290


def test_a_plan_follows_from_seed_words_and_pictures_alone():
    assert [SamplingPlanner(seed=0)(f"question {number}", 1) for number in (7, 3)] == [PLANS[7], PLANS[3]]
    assert len({SamplingPlanner(seed)("question 7", pictures) for seed in (0, 1) for pictures in (1, 2)}) == 4


PINNED = {("What is this?", 1): "be6ec6d60c6e70d3", ("What is this?", 0): "a5cb302878341ed3"}


@pytest.mark.parametrize("query", PINNED)
def test_the_draw_is_stable(query):
    """Data sets contain the fingerprint: a change of the draw changes the data."""
    assert SamplingPlanner(seed=0)(*query).fingerprint == PINNED[query]


def test_without_a_picture_nothing_looks_at_one():
    for number in range(50):
        assert not set(SamplingPlanner(seed=0)(f"question {number}", 0).tools) & set(PICTURE_TOOLS)


def test_every_plan_can_express_every_decision():
    for plan in PLANS:
        assert plan.decisions == set(Decision)
        for decision in Decision:
            assert reference_path(plan, decision)[-1].name in plan.graph.accept


def test_every_plan_weighs_the_combined_risk():
    for plan in PLANS:
        assert any(key.role is Role.COMBINED_RISK for tool in plan.tools for key in tool.keys)


def test_the_honest_response_to_a_labelled_query_is_valid_under_its_plan():
    planner, wrong = SamplingPlanner(seed=3), []
    for item in generate("train", 200, seed=0):
        plan = planner(item.query.text, len(item.query.images))
        verdict = diagnose(reference_response(item.query, plan).render(), plan, item.query.labels)
        wrong += [(item.query.id, found.code, found.message) for found in verdict.diagnostics]
    assert wrong == []
