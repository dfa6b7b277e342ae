"""What a completion costs under each preset with the rule judge: `make bench`. A plain `pytest` runs each once.

One round is one pass over 100 responses: diagnosed, scored, judged and paid, from the columns that TRL hands over. The
aim is under 50 ms a round for the default preset, half a millisecond a completion.
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
    """Columns of rollouts: half of them honest, half spoilt, each in its own way."""
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
