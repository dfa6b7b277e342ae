"""Measures the time of each preset's reward with the rule judge: `make bench`. Plain `pytest` runs each test once.

A round diagnoses, scores, judges and rewards 100 responses, starting from TRL's columns. The goal for the default
preset is below 50 ms per round, which is half a millisecond per completion.
"""

from random import Random

import pytest

from data.corruptions import CORRUPTIONS, corrupt
from eval.attacks.measure import examples
from eval.judges import RuleJudge
from eval.presets import PRESETS, grade
from eval.scores.response import Unscored
from protocol import Labels, Plan

NUM_RESPONSES = 100


@pytest.fixture(scope="module")
def rows():
    """Return columns of rollouts: half of them honest, half corrupted in different ways."""
    rng, names, found = Random(0), list(CORRUPTIONS), []
    for place, example in enumerate(examples(NUM_RESPONSES, "train", 0)):
        spoilt = corrupt(names[place % len(names)], example, rng) if place % 2 else None
        labels = example.query.labels.to_json()
        found.append((spoilt or example.response.render(), example.plan.to_json(), labels, example.query.text))
    return found


@pytest.mark.benchmark(group="rewarding 100 completions")
@pytest.mark.parametrize("name", PRESETS)
def test_reward(benchmark, rows, name):
    preset, judge, weights = PRESETS[name], RuleJudge(), PRESETS[name].weights()

    def reward():
        return [
            preset.reward(grade(text, Plan.from_json(plan), Labels.from_json(labels), judge, query), weights).total
            for text, plan, labels, query in rows
        ]

    totals = benchmark(reward)
    assert len(totals) == NUM_RESPONSES
    assert not any(isinstance(total, Unscored) for total in totals)
