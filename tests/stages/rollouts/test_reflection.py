"""Safety-aware rollouts: the choice of responses, the conversation, and the training on corrections."""

from types import SimpleNamespace

import pytest
import torch

from data.rows import Labels
from protocol.labels import Risk
from stages import grpo, sft
from stages.arguments.rollouts import RolloutArguments, num_corrections, rollout_problems
from stages.errors import StageError
from stages.rollouts.reflection import JudgedResponse, faults_told, open_places
from stages.rollouts.reward import Judged
from tests.stages.conftest import PLAN, PROMPT, rollouts_in, rows_of, text_of
from tests.stages.rollouts.test_sampling import logps_by_hand

REFLECTED = {"reflect": "self", "reflect_below": 0.5, "reflect_share": 0.5, "num_iterations": 2, "temperature": 0.9}


def good(text):
    """Reward only one wording."""
    return 1.0 if text == "cup" else len(text) / 1000


def wording_reward(items):
    return [Judged(good(text_of(item))) for item in items]


@pytest.fixture
def corrected(make_trainer, monkeypatch):
    """Return a trainer whose policy always corrects to "cup", the turns that it saw, and its batch of two groups."""
    trainer = make_trainer(wording_reward, **REFLECTED)
    tokenizer = trainer.processing_class.tokenizer
    turns = []
    sample = trainer.sample

    def writes(each, text):
        turns.extend(each)
        return [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for _ in each]

    def sampled(each):
        if len(each[0].messages) == 2:
            return sample(each)
        return writes(each, "A cup." if each[0].is_response is False else "cup")

    monkeypatch.setattr(trainer, "sample", sampled)
    trainer._ahead = trainer._look_ahead()
    batch = trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    return trainer, turns, batch


def test_corrections_take_their_share_of_a_group_and_what_is_corrected_stays(corrected, tmp_path):
    rollouts = rollouts_in(tmp_path / "grpo")
    assert [each["origin"] for each in rollouts] == ["policy", "policy", "correction", "correction"] * 2
    for start in (0, 4):
        group = rollouts[start : start + 4]
        assert [each["response"] for each in group[2:]] == ["cup", "cup"]
        assert sorted(each["corrects"] for each in group[2:]) == [0, 1]
        assert all(each["reflection"] == "A cup." for each in group[2:])
        assert all(each["advantage"] > 0 for each in group[2:])
        assert all(each["advantage"] < 0 for each in group[:2])
        assert len({each["id"] for each in group}) == 1
    del corrected


def test_a_correction_is_trained_on_under_the_original_prompt(corrected):
    """Tokens, mask and log-probabilities of policy and reference are recomputed from the original prompt."""
    trainer, _, batch = corrected
    tokenizer = trainer.processing_class.tokenizer
    expected = [*tokenizer("cup")["input_ids"], tokenizer.eos_token_id]
    model = trainer.accelerator.unwrap_model(trainer.model)
    for row in (2, 3, 6, 7):
        width = batch["completion_ids"].shape[1]
        assert batch["completion_ids"][row].tolist()[: len(expected)] == expected
        assert batch["completion_mask"][row].tolist() == [1] * len(expected) + [0] * (width - len(expected))
        assert torch.equal(batch["prompt_ids"][row], batch["prompt_ids"][row // 4 * 4])
        prompt = tokenizer.decode(batch["prompt_ids"][row][batch["prompt_mask"][row] == 1])
        assert "Stop and look at your response" not in prompt
        for name, adapter in (("old_per_token_logps", "default"), ("ref_per_token_logps", "ref")):
            model.set_adapter(adapter)
            by_hand, completion = logps_by_hand(trainer, batch, row)
            model.set_adapter("default")
            of_tokens = by_hand.gather(1, completion.unsqueeze(1)).squeeze(1)
            assert torch.allclose(batch[name][row][: len(expected)], of_tokens, atol=1e-4)


def likelihood(trainer, batch, row):
    of_vocabulary, completion = logps_by_hand(trainer, batch, row)
    return of_vocabulary.gather(1, completion.unsqueeze(1)).sum()


def test_a_training_step_makes_corrections_likelier_under_the_original_prompt(corrected):
    trainer, _, batch = corrected
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, batch).backward()
    with torch.no_grad():
        before = likelihood(trainer, batch, 2)
        for parameter in trainer.model.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.05 * parameter.grad)
    assert likelihood(trainer, batch, 2) > before


def test_the_model_sees_its_response_the_diagnostics_and_the_safety_question(corrected):
    _, turns, _ = corrected
    reflecting = [turn for turn in turns if not turn.is_response]
    correcting = [turn for turn in turns if turn.is_response]
    assert len(reflecting) == len(correcting) == 4
    for turn in reflecting:
        assert [message["role"] for message in turn.messages] == ["system", "user", "assistant", "user"]
        asked = turn.messages[-1]["content"]
        assert "could anyone come to harm by this answer" in asked
        assert ": S1" in asked
    for turn in correcting:
        assert [message["role"] for message in turn.messages[2:]] == ["assistant", "user", "assistant", "user"]
        assert turn.messages[4]["content"] == "A cup."
        assert "write the whole response again" in turn.messages[-1]["content"]


def test_the_worst_are_corrected_and_the_last_places_make_room():
    assert open_places([0.4, 0.1, 0.9, 0.3, 0.0, 0.0], below=0.5, num_places=2) == [(4, 1), (5, 3)]
    assert open_places([0.6, 0.9, None, 0.0], below=0.5, num_places=1) == []
    assert open_places([0.2, 0.2, 0.9, 0.9], below=0.5, num_places=1) == [(3, 0)]


def test_a_correction_that_is_no_better_is_dropped(make_trainer, tmp_path):
    trainer = make_trainer(lambda items: [Judged(0.1)] * len(items), **REFLECTED)
    trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert {each["origin"] for each in rollouts_in(tmp_path / "grpo")} == {"policy"}


def test_nothing_is_reflected_on_above_the_threshold(make_trainer, monkeypatch):
    trainer = make_trainer(lambda items: [Judged(0.5 + i / 100) for i in range(len(items))], **REFLECTED)
    seen = []
    sample = trainer.sample
    monkeypatch.setattr(trainer, "sample", lambda turns: (seen.extend(turns), sample(turns))[1])
    trainer._ahead = trainer._look_ahead()
    trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert {len(turn.messages) for turn in seen} == {2}


def test_a_conversation_that_leaves_no_room_for_a_response_is_given_up(make_trainer, monkeypatch, tmp_path):
    trainer = make_trainer(wording_reward, **REFLECTED)
    longest = max(len(ids) for ids in trainer._tokenize_prompts([list(PROMPT)])[0]) + 8 + 40
    monkeypatch.setattr("stages.rollouts.trainer.model_limit", lambda _: longest)
    trainer._generate_and_score_completions(rows_of(trainer, 1, 2))
    assert {each["origin"] for each in rollouts_in(tmp_path / "grpo")} == {"policy"}


def test_only_informed_reflection_tells_what_the_labels_know():
    text = (
        '<thinking>\n[VISUAL-SCAN]: objects=["knife"]; scene="kitchen"; hazard=low\n</thinking>\n<answer>\nx\n</answer>'
    )
    labels = Labels(objects=("cup",), image_risk=Risk.SAFE).to_json()
    row = {"plan": PLAN.to_json(), "labels": labels}
    original = JudgedResponse(row, text, [], is_truncated=False, judged=Judged(0.0))
    informed, alone = faults_told(original, "informed"), faults_told(original, "self")
    assert "E501" in informed
    assert "E5" not in alone
    assert "G3" in alone


def test_a_stage_with_reflection_trains_to_its_end_with_at_most_its_share_of_corrections(parse, tmp_path):
    parent = sft.run(*parse("sft", output=tmp_path / "parent", max_steps=2))
    folder = grpo.run(
        *parse("grpo", parent=parent, max_steps=3, num_generations=4, per_device_train_batch_size=4, **REFLECTED),
        reward=wording_reward,
    )
    rollouts = rollouts_in(folder)
    assert len(rollouts) >= 4
    assert sum(each["origin"] == "correction" for each in rollouts) <= len(rollouts) / 2


def test_the_share_is_of_whole_responses(parse):
    assert num_corrections(RolloutArguments().reflect_share, 8) == 2
    for share in (0.1, 0.9):
        with pytest.raises(StageError, match="reflect_share: expected one response to half of a group of 4"):
            parse("grpo", reflect="self", reflect_share=share)
    parse("grpo", reflect_share=0.1)  # unused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reflect": "sometimes"}, "invalid choice: 'sometimes'"),
        ({"zero_spread": "drop"}, "invalid choice: 'drop'"),
        ({"overlong_window": 9}, "overlong_window: expected 0 to max_completion_length"),
        ({"max_unscored": 1.5}, "max_unscored: expected a share from 0 to 1, found 1.5"),
        ({"resample_rounds": 0, "rollouts_file_mib": 0}, "rollouts_file_mib: expected 1 or more, found 0"),
    ],
)
def test_choices_that_cannot_work_are_refused(parse, options, message):
    with pytest.raises(StageError, match=message):
        parse("grpo", **options)


def test_groups_that_processes_would_share_and_vllm_are_refused_with_what_looks_ahead():
    """Two processes with 6 completions each in groups of 4; TRL only requires that all 12 form whole groups."""
    config = SimpleNamespace(
        per_device_train_batch_size=6,
        steps_per_generation=1,
        num_generations=4,
        max_completion_length=8,
        use_vllm=True,
        vllm_mode="server",
        beta=0.1,
        num_iterations=1,
        gradient_accumulation_steps=1,
        save_steps=1,
    )
    for choices in (RolloutArguments(zero_spread="resample"), RolloutArguments(reflect="self")):
        problems = rollout_problems(choices, config)
        assert [problem.partition(":")[0] for problem in problems] == ["use_vllm", "per_device_train_batch_size"]
        assert "need whole groups" in problems[1]
    assert rollout_problems(RolloutArguments(zero_spread="skip"), config) == []


def test_what_is_not_used_does_not_make_a_finished_stage_be_made_again(parse):
    from stages.arguments.resolved import decisive, resolved

    def recipe(**options):
        return decisive(resolved(*parse("grpo", **options)))

    assert recipe() == recipe(reflect_below=0.3, resample_rounds=5, rollouts_file_mib=1)
    assert "reflect" not in recipe()
    assert recipe() != recipe(reflect="self")
    assert recipe(reflect="self") != recipe(reflect="self", reflect_below=0.3)
    assert recipe() != recipe(zero_spread="skip")
    assert recipe(zero_spread="skip") == recipe(zero_spread="skip", resample_rounds=5)
    assert recipe() != recipe(merge_for_sampling="false")
