"""Finished responses of a checkpoint do not affect its other responses, sampled or greedy."""

import pytest

from data.files.json_lines import read_rows
from data.rows import RolloutPrompt
from eval.policies.checkpoint import HFPolicy


@pytest.fixture
def prompts(rows_folder):
    return read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_interrupted_policy_ends_with_the_responses_of_an_uninterrupted_one(
    tiny_model_path, rows_folder, prompts, temperature
):
    policy = HFPolicy(tiny_model_path, batch_size=4, max_new_tokens=8, temperature=temperature, seed=3)
    kept = {}
    whole = policy.respond(prompts, rows_folder, keep=kept.__setitem__)
    assert [kept[place] for place in range(len(prompts))] == whole
    if temperature:
        assert len({each.text for each in whole}) > 3
    # A partly kept batch is generated again as a whole, so that its random numbers are the same.
    done = {place: kept[place] for place in list(kept)[:6]}
    made = {}
    assert policy.respond(prompts, rows_folder, done=done, keep=made.__setitem__) == whole
    assert made.keys() == kept.keys() - done.keys()


def test_a_policy_that_has_answered_everything_generates_nothing(tiny_model_path, rows_folder, prompts, monkeypatch):
    policy = HFPolicy(tiny_model_path, batch_size=4, max_new_tokens=2)
    whole = policy.respond(prompts, rows_folder)
    monkeypatch.setattr(policy.model, "generate", lambda *_, **__: pytest.fail("generated"))
    assert policy.respond(prompts, rows_folder, done=dict(enumerate(whole))) == whole
