"""A stage that learnt nothing says which of four reasons it was, and what to change."""

import re

import pytest

from stages.rollouts.record.unchanged import why_unchanged


def groups(*rewards_by_group, code=None):
    diagnostics = [{"code": code}] if code else []
    return [
        {"step": 0, "id": str(place), "reward": reward, "diagnostics": diagnostics}
        for place, rewards in enumerate(rewards_by_group)
        for reward in rewards
    ]


@pytest.mark.parametrize(
    ("rollouts", "words"),
    [
        (groups([0.0, 0.0], [0.0, 0.0], code="S101"), "in all of 2 groups .*no whole trace.*--sft.max_steps"),
        (groups([1.0, 1.0], [0.95, 0.95]), "mean 0.97.*nothing left to earn.*tritrace data curate"),
        (groups([0.6, 0.6], [0.2, 0.2]), "mean 0.40.*too much alike.*--grpo.temperature"),
        (groups([0.0, 0.0]), "too much alike"),
        (groups([0.1, 0.7], [0.2, 0.2]), "rewards differed, but learning_rate is 1e-09"),
        (groups([None, None]), "none was scored"),
        ([], "none was scored"),
    ],
)
def test_the_reason_is_named_with_what_to_change(rollouts, words):
    assert re.search(words, why_unchanged(rollouts, 1e-9))
