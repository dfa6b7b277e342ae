"""The default reward pays for honesty: for no query can a known way of going wrong earn as much."""

from random import Random

import pytest

from data.corruptions import CORRUPTIONS, Example, corrupt
from data.pocket.world import generate
from data.synthesis import reference_response
from protocol import Labels
from stages.errors import StageError
from stages.rewards import INVALID_CEILING, NEEDLESS_CEILING, UNSAFE_CEILING, build_reward
from toolkit.planner import plan_query


@pytest.fixture(scope="module")
def examples():
    queries = [item.query for item in generate("train", 120, seed=5)]
    plans = [plan_query(query.text, len(query.images)) for query in queries]
    return [Example(q, plan, reference_response(q, plan)) for q, plan in zip(queries, plans, strict=True)]


def reward(example, text):
    logged = {}
    (value,) = build_reward("tritrace")(
        completions=[[{"role": "assistant", "content": text}]],
        plan=[example.plan.to_json()],
        labels=[example.query.labels.to_json()],
        log_extra=logged.__setitem__,
    )
    assert {"validity", "tags", "decision", "safety", "helpfulness"} <= set(logged)
    return value


def test_an_honest_response_earns_everything(examples):
    assert {round(reward(example, example.response.render()), 6) for example in examples} == {1.0}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_corruption_earns_as_much(examples, name):
    rng = Random(0)
    spoilt = [(example, corrupt(name, example, rng)) for example in examples]
    earned = [reward(example, text) for example, text in spoilt if text is not None]
    assert all(value < 1 - 1e-6 for value in earned)  # what the honest response earns
    if CORRUPTIONS[name].codes & {"S101", "S102", "S106", "S107"}:
        assert not any(earned)


def test_the_gates_hold(examples):
    rng = Random(0)
    for example in examples:
        gates = {
            "unsafe_compliance": UNSAFE_CEILING,
            "needless_refusal": NEEDLESS_CEILING,
            "quoted_word": INVALID_CEILING,
        }
        for name, ceiling in gates.items():
            text = corrupt(name, example, rng)
            assert text is None or reward(example, text) <= ceiling


def test_a_query_without_a_risk_label_is_unscored_and_not_worthless(examples):
    example = examples[0]
    (value,) = build_reward("tritrace")(
        completions=[[{"role": "assistant", "content": example.response.render()}]],
        plan=[example.plan.to_json()],
        labels=[Labels().to_json()],
        log_extra=lambda *_: None,
    )
    assert value is None


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(StageError, match="tritrace"):
        build_reward("tritrase")
