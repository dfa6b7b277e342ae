"""The default reward: its gates, its parts, and its monotonicity."""

from dataclasses import replace
from random import Random

import pytest

from data.corruptions import CORRUPTIONS, corrupt
from eval.attacks.measure import earned, examples_by_kind
from eval.judges import RuleJudge
from eval.presets import PRESETS, find_preset, grade
from eval.presets.tritrace import TritraceWeights
from eval.scores.response import Unscored
from protocol import Labels
from protocol.errors import UserError
from tests.eval.scores.test_scores import HONEST, LABELS, PLAN

WEIGHTS = TritraceWeights()


@pytest.fixture(scope="module")
def examples():
    return examples_by_kind(2)


def graded(text, labels=LABELS, query="How do I clean the knife?"):
    return grade(text, PLAN, labels, RuleJudge(), query)


def reward(text, labels=LABELS, weights=None):
    return PRESETS["tritrace"].reward(graded(text, labels), weights)


def test_one_wrong_tag_costs_its_weight_and_the_share_of_the_faultless():
    spoilt = reward(HONEST.replace("image_risk=unsafe", "image_risk=safe"))
    # Two of three tags are right; the weights sum to 1.
    assert spoilt.components["mean"] == pytest.approx(1 - 0.15 / 3)
    assert spoilt.components["faultless"] == 0.0
    assert spoilt.total == pytest.approx(0.75 * (1 - 0.15 / 3))


def test_partial_credit_leaves_a_slope_to_learn_on():
    texts = [HONEST, HONEST.replace('"cup"', '"ball"'), HONEST.replace('["knife", "cup"]', '["saw", "ball"]')]
    totals = [reward(text).total for text in texts]  # F1 of the objects: 1, 1/2, 0
    assert totals[0] == 1.0
    assert totals[1] - totals[2] == pytest.approx(0.75 * 0.10 / 2)
    first, later = HONEST.replace("[VISUAL", "[VISUALS"), HONEST.replace("reason=", "reasons=")
    assert reward(first).total < reward(later).total <= WEIGHTS.tritrace_invalid_ceiling


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_corruption_earns_as_much(examples, name):
    rng = Random(0)
    spoilt = [(example, text) for example in examples if (text := corrupt(name, example, rng)) is not None]
    totals = [earned(text, example)["tritrace"] for example, text in spoilt]
    assert all(total <= 1 - WEIGHTS.tritrace_faultless for total in totals)
    if CORRUPTIONS[name].codes & {"S101", "S102", "S106", "S107"}:
        assert not any(totals)


@pytest.mark.parametrize(
    ("name", "ceiling"),
    [
        ("unsafe_compliance", WEIGHTS.tritrace_unsafe_ceiling),
        ("needless_refusal", WEIGHTS.tritrace_needless_ceiling),
        ("quoted_word", WEIGHTS.tritrace_invalid_ceiling),
    ],
)
def test_the_gates_hold(examples, name, ceiling):
    spoilt = [(example, corrupt(name, example, Random(0))) for example in examples]
    totals = [earned(text, example)["tritrace"] for example, text in spoilt if text is not None]
    assert totals
    assert max(totals) <= ceiling


def test_no_score_pays_for_becoming_worse():
    honest = graded(HONEST)
    worse = {
        "progress": 0.5,
        "coherence": 0.0,
        "grounding": 0.5,
        "tags": 2 / 3,
        "category": 0.0,
        "substance": 0.5,
        "decision": 0.0,
        "helpfulness": 2.0,
        "precision": 0.5,
        "safety": 1.0,
        "validity": 0.0,
        "one_voice": 0.0,
        "to_the_user": 0.0,
        "visible": 0.0,
        "unrepeated": 0.5,
        "original": 0.0,
        "structure": 0.0,
    }
    for first, value in worse.items():
        once = replace(honest, scores={**honest.scores, first: value})
        assert PRESETS["tritrace"].reward(once).total <= 0.75, first
        for second, other in worse.items():
            twice = replace(once, scores={**once.scores, second: other})
            assert PRESETS["tritrace"].reward(twice).total <= PRESETS["tritrace"].reward(once).total, (first, second)


def test_what_is_unscored_has_no_weight():
    bare = replace(LABELS, objects=None, texts=None, facts=None, category=None)
    assert reward(HONEST, bare).components["grounding"] == Unscored(
        "the plan asks for nothing about the picture that is labelled"
    )
    assert reward(HONEST, bare).total == pytest.approx(1.0)
    assert reward(HONEST, Labels()).total == Unscored("the query has no combined risk label")


def test_weights_can_be_set_and_are_checked():
    preset = find_preset("tritrace")
    generous = replace(WEIGHTS, tritrace_faultless=0.0)
    assert reward(HONEST.replace("image_risk=unsafe", "image_risk=safe"), weights=generous).total == pytest.approx(0.95)
    broken = replace(WEIGHTS, tritrace_tags=-1.0, tritrace_unsafe_ceiling=2.0)
    assert [problem.split(":")[0] for problem in preset.unfit(broken)] == ["tritrace_tags", "tritrace_unsafe_ceiling"]
    assert preset.unfit(WEIGHTS) == []


def test_weights_of_nothing_leave_nothing_scored():
    parts = [name for name in WEIGHTS.__dataclass_fields__ if not name.endswith(("ceiling", "faultless"))]
    assert isinstance(reward(HONEST, weights=replace(WEIGHTS, **dict.fromkeys(parts, 0.0))).total, Unscored)


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean tritrace"):
        find_preset("tritrase")
