"""The record of rollouts: its content, its files, and the handling of a failing reward."""

import json
import logging

import pytest
from PIL import Image

from data.rows import Labels
from eval.judges import Item
from eval.judges.errors import JudgeError
from eval.judges.llm import LLMJudge
from protocol import diagnose
from stages.arguments.judge import JudgeArguments, build_judge
from stages.errors import StageError
from stages.rollouts.guarded_reward import GuardedReward
from stages.rollouts.record.files import RolloutFiles, read_rollouts, rollout_groups, rollout_paths
from stages.rollouts.record.log import RolloutLog
from stages.rollouts.record.stats import samples_table, step_metrics
from stages.rollouts.reward import Judged, build_reward
from stages.tracking import store
from stages.tracking.run import tracked
from tests.endpoints import Endpoint
from tests.endpoints.judge_model import honest, sections
from tests.stages.conftest import PLAN, PROMPT, rollouts_in, row_of, text_of


def test_a_response_that_is_not_scored_does_not_print_its_whole_row():
    logger = logging.getLogger("trl.trainer.grpo_trainer")
    for line in ("All reward functions returned None for the following kwargs:\n{'plan': ...}", "Something else"):
        record = logger.makeRecord(logger.name, logging.WARNING, "", 0, line, (), None)
        assert bool(logger.filter(record)) == (line == "Something else")


def says(text):
    return [{"role": "assistant", "content": text}]


def guarded(reward, **options):
    return GuardedReward(reward, **({"max_unscored": 0.2} | options))


def judge(guard, texts):
    items = [Item(diagnose(text, PLAN)) for text in texts]
    return guard.judge(items, [[0] * len(text) for text in texts])


def record_in(folder, reward, **options):
    return RolloutLog(folder / "rollouts.jsonl", guarded(reward), group_size=2, **options)


def as_trl_calls(log, texts, completion_ids, **columns):
    """Call a record with the columns of a batch; return the rewards and the logged columns."""
    rows = {
        "id": ["r1"] * len(texts),
        "plan": [PLAN.to_json()] * len(texts),
        "labels": [Labels().to_json()] * len(texts),
    }
    logged = {}
    rewards = log(
        completions=[says(text) for text in texts],
        completion_ids=completion_ids,
        log_extra=logged.__setitem__,
        trainer_state=None,
        **(rows | columns),
    )
    return rewards, logged


def write_steps(files, steps, size=10):
    for step in steps:
        files.append([{"step": step, "text": f"{step}" * size}])


def texts_of(folder):
    return [path.read_text() for path in rollout_paths(folder)]


def test_a_record_is_cut_into_files_in_order(tmp_path):
    write_steps(RolloutFiles(tmp_path / "rollouts.jsonl", max_bytes=60), range(7))
    names = [path.name for path in rollout_paths(tmp_path)]
    assert names == ["rollouts.0001.jsonl", "rollouts.0002.jsonl", "rollouts.0003.jsonl", "rollouts.jsonl"]
    assert [each["step"] for each in read_rollouts(tmp_path)] == list(range(7))


def test_a_group_is_what_was_sampled_for_a_prompt_in_a_step_without_the_unscored(tmp_path):
    lines = [
        {"step": step, "id": name, "reward": reward, "advantage": None if reward is None else reward - 0.5}
        for step, name, reward in ((0, "a", 1.0), (0, "b", 0.5), (0, "a", 0.0), (0, "a", None), (1, "a", 0.25))
    ]
    RolloutFiles(tmp_path / "rollouts.jsonl", 60).append(lines)
    groups = rollout_groups(tmp_path)
    assert {key: [each["reward"] for each in group] for key, group in groups.items()} == {
        (0, "a"): [1.0, 0.0],
        (0, "b"): [0.5],
        (1, "a"): [0.25],
    }


@pytest.mark.parametrize("step", range(8))
def test_a_record_taken_up_at_any_step_equals_one_that_was_not_interrupted(tmp_path, step):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    write_steps(RolloutFiles(whole / "rollouts.jsonl", 60), range(9))
    write_steps(RolloutFiles(broken / "rollouts.jsonl", 60), range(7))
    with (broken / "rollouts.jsonl").open("a") as file:
        file.write('{"step": 7, "te')  # an incomplete line after an interruption
    again = RolloutFiles(broken / "rollouts.jsonl", 60)
    again.keep_before(step)
    write_steps(again, range(min(step, 7), 9))
    assert texts_of(broken) == texts_of(whole)


def test_a_record_of_a_run_that_starts_afresh_is_emptied(tmp_path):
    files = RolloutFiles(tmp_path / "rollouts.jsonl", 60)
    write_steps(files, range(5))
    files.keep_before(0)
    assert texts_of(tmp_path) == [""]


def test_a_rollout_tells_plan_tokens_components_diagnostics_advantage_and_step(make_trainer, tmp_path):
    trainer = make_trainer(build_reward("safer-vlm"), max_steps=2)
    trainer.train()
    rollouts = rollouts_in(tmp_path / "grpo")
    assert [rollout["step"] for rollout in rollouts] == [0] * 8 + [1] * 8
    tokenizer = trainer.processing_class.tokenizer
    shortest = len(tokenizer.apply_chat_template(list(PROMPT), add_generation_prompt=True)["input_ids"])  # no image
    for rollout in rollouts:
        assert rollout["plan"] == PLAN.to_json()
        assert rollout["id"].startswith("r")
        assert 1 <= rollout["completion_tokens"] <= 8
        assert not rollout["is_truncated"] or rollout["completion_tokens"] == 8
        assert rollout["prompt_tokens"] >= shortest
        assert {"validity", "safety", "safer-vlm/thinking"} <= set(rollout["components"])
        verdict = diagnose(rollout["response"], PLAN, Labels.from_json(rollout["labels"]))
        assert rollout["diagnostics"] == [found.to_json() for found in verdict.diagnostics]
        assert rollout["origin"] == "policy"
        assert isinstance(rollout["advantage"], float)


def raises_on(bad):
    def reward(items):
        texts = [text_of(item) for item in items]
        if bad in texts:
            raise KeyError(bad)
        return [Judged(float(len(text)), {"length": len(text)}) for text in texts]

    return reward


def test_a_reward_that_raises_costs_only_the_completions_it_raises_on(capsys):
    guard = guarded(raises_on("bad"))
    found = judge(guard, ["a", "bad", "ccc", "bad"])
    assert [each.reward for each in found] == [1.0, None, 3.0, None]
    assert [each.components for each in found] == [{"length": 1}, {}, {"length": 3}, {}]
    assert guard.report() == ["reward: unscored 2 times: KeyError: 'bad'"]
    assert capsys.readouterr().out.count("stays unscored") == 1  # printed once, but always counted


def test_every_response_keeps_its_place_when_it_is_judged_alone():
    def reward(items):
        if len(items) > 1:
            raise ValueError("one at a time")
        return [Judged(float(text_of(items[0])))]

    assert [each.reward for each in judge(guarded(reward), ["1", "2"])] == [1.0, 2.0]


def test_a_reward_that_forgets_a_response_is_asked_again_for_each_alone():
    assert [each.reward for each in judge(guarded(lambda _: [Judged(1.0)]), ["a", "b"])] == [1.0, 1.0]
    assert [each.reward for each in judge(guarded(lambda _: []), ["a", "b"])] == [None, None]


def test_an_error_of_the_user_ends_the_run():
    def reward(items):
        del items
        raise JudgeError("the judge is down")

    for texts in (["a", "b"], ["a"]):
        with pytest.raises(JudgeError):
            judge(guarded(reward), texts)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_unscored(value):
    guard = guarded(lambda _: [Judged(value), Judged(0.5)])
    assert [each.reward for each in judge(guard, ["a", "b"])] == [None, 0.5]
    assert guard.report() == ["reward: unscored 1 times: the reward is not a finite number"]


def test_a_reward_that_fails_too_often_stops_the_stage_and_says_with_what():
    guard = guarded(raises_on("bad"), max_unscored=0.5)
    for _ in range(60):
        judge(guard, ["good", "bad"])
    with pytest.raises(StageError, match=r"most often \(\d+ times\) the reward failed with KeyError: 'bad'"):
        judge(guard, ["bad"] * 60)


def test_a_judge_that_dies_late_is_noticed_as_soon_as_one_that_dies_early():
    """Old scored responses do not compensate for new unscored ones."""
    answers = iter([[1.0] * 2000, [None] * 51, [None]])
    guard = guarded(lambda _: [Judged(each) for each in next(answers)])
    judge(guard, ["a"] * 2000)
    judge(guard, ["a"] * 51)
    with pytest.raises(StageError, match="52 of 256 rollouts"):
        judge(guard, ["a"])


def test_a_stage_goes_on_with_what_a_reward_can_judge(make_trainer, tmp_path):
    def reward(items):
        if any(row_of(item) in {"r1", "r2"} for item in items):
            raise RuntimeError("no such scene")
        return [Judged(float(len(text_of(item)))) for item in items]

    make_trainer(reward, max_steps=3, max_unscored=1.0).train()
    rollouts = rollouts_in(tmp_path / "grpo")
    assert {each["id"] for each in rollouts if each["reward"] is None} == {
        each["id"] for each in rollouts if each["id"] in {"r1", "r2"}
    }
    assert all(each["advantage"] == 0 for each in rollouts if each["reward"] is None)


def test_long_completions_cost_what_dapo_says_and_unscored_ones_earn_nothing_by_it():
    """With a limit of 20 tokens and a window of 10, 15 tokens cost half of the penalty, and 20 tokens all of it."""
    guard = guarded(
        lambda items: [Judged(None if text_of(item) == "none" else 1.0) for item in items],
        max_completion_length=20,
        overlong_window=10,
    )
    found = judge(guard, ["x" * 9, "x" * 15, "x" * 20, "none"])
    assert [each.reward for each in found] == [1.0, 0.5, 0.0, None]
    assert [each.components["overlong"] for each in found] == [0.0, -0.5, -1.0, 0.0]


def record(reward, text="x", **changed):
    fields = {"reward": reward, "response": text, "completion_tokens": len(text), "is_truncated": False}
    return fields | {"origin": "policy", "components": {"refusal": 1.0}, "diagnostics": [], "step": 3} | changed


def test_the_numbers_of_a_step_by_hand():
    """Two groups of two: (0, 1) has spread; (0.5, unscored) has no spread."""
    code = {"code": "S101"}
    rollouts = [
        record(0.0, "a", diagnostics=[code, code]),
        record(1.0, "abc", components={"refusal": 0.0}),
        record(0.5, "ab", origin="correction"),
        record(None, "ab", is_truncated=True, components={"refusal": None}),
    ]
    numbers = step_metrics(rollouts, 2, codes=["G302"])
    assert numbers == pytest.approx(
        {
            "rollouts/unscored": 0.25,
            "rollouts/zero_spread": 0.5,
            "rollouts/tokens/mean": 2.0,
            "rollouts/tokens/max": 3.0,
            "rollouts/truncated": 0.25,
            "rollouts/corrected": 0.25,
            "rollouts/reward/mean": 0.5,
            "rollouts/reward/std": (1 / 6) ** 0.5,
            "rollouts/reward/min": 0.0,
            "rollouts/reward/max": 1.0,
            "rollouts/diagnostics/G302": 0.0,
            "rollouts/diagnostics/S101": 2.0,
            "rollouts/components/refusal": 2 / 3,
            "rollouts/refusal_rate": 2 / 3,
        }
    )


def test_a_table_shows_both_ends():
    shown = samples_table([record(number / 10, f"r{number}", id=str(number)) for number in range(10)])
    assert shown["reward"] == [0.9, 0.8, 0.7, 0.6, 0.3, 0.2, 0.1, 0.0]
    assert {len(column) for column in shown.values()} == {8}


def test_every_step_is_tracked_and_samples_become_a_table(tmp_path):
    def reward(items):
        faults = [({"code": "S101"},) if len(text_of(item)) > 1 else () for item in items]
        return [Judged(worth, {"refusal": worth}, found) for worth, found in zip((1.0, 0.0), faults, strict=True)]

    with tracked("grpo", {}) as run:
        log = record_in(tmp_path, reward, run=run, table_every=2)
        for step, texts in enumerate((["a", "bb"], ["a", "b"], ["c", "d"])):
            as_trl_calls(log, texts, [[1, 9]] * 2)
            log.write(step, [0.5, -0.5], end_ids={9}, numbers={"rollouts/reflected": 2.0})
    client = store.open_client()
    for name, values in {
        "rollouts/reward/mean": [0.5, 0.5, 0.5],
        "rollouts/diagnostics/S101": [1.0, 0.0, 0.0],
        "rollouts/refusal_rate": [0.5, 0.5, 0.5],
        "rollouts/zero_spread": [0.0, 0.0, 0.0],
        "rollouts/reflected": [2.0, 2.0, 2.0],
        "rollouts/reward_errors": [0.0, 0.0, 0.0],
    }.items():
        history = client.get_metric_history(run.run_id, name)
        assert [(each.step, each.value) for each in history] == list(enumerate(values)), name
    path = client.download_artifacts(run.run_id, "rollouts.json", str(tmp_path))
    with open(path) as file:  # noqa: PTH123
        table = json.load(file)
    steps = [row[table["columns"].index("step")] for row in table["data"]]
    assert steps == [0, 0, 2, 2]


def test_what_was_judged_ahead_is_not_judged_again(tmp_path):
    asked = []

    def reward(items):
        asked.extend(text_of(item) for item in items)
        return [Judged(float(len(text_of(item)))) for item in items]

    log = record_in(tmp_path, reward)
    row = {"id": "r1", "prompt": [], "plan": PLAN.to_json(), "labels": Labels().to_json()}
    log.judge([row, row], ["a", "bb"], [[1], [1, 2]])
    ids = [[1, 2], [1, 2, 3]]
    rewards, _ = as_trl_calls(log, ["bb", "ccc"], ids)
    assert (rewards, asked) == ([2.0, 3.0], ["a", "bb", "ccc"])
    log.write(0, [0.0, 0.0])
    as_trl_calls(log, ["bb", "ccc"], ids)
    assert asked == ["a", "bb", "ccc", "bb", "ccc"]  # the next step judges again


def test_a_batch_of_training_is_judged_with_its_words_and_pictures_and_logged_as_columns(tmp_path):
    columns = {
        "query": ["Is it clean?", "What is it?"],
        "images": [[Image.new("RGB", (2, 2), "red")], None],
    }
    texts = [f"<answer>\nanswer {number}\n</answer>" for number in range(2)]
    with Endpoint(honest) as endpoint:
        settings = {"judge_url": endpoint.url, "judge_model": "m", "judge_cache": str(tmp_path / "kept.sqlite")}
        with build_judge(JudgeArguments(judge="llm", judge_concurrency=1, **settings)) as judge:
            assert isinstance(judge, LLMJudge)
            log = record_in(tmp_path, build_reward("tritrace", judge))
            _, logged = as_trl_calls(log, texts, [[1], [1]], **columns)
    first, second = endpoint.requests
    assert sections(first)["QUERY"] == "Is it clean?"
    assert first["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert sections(second) | {"TRACE": ""} == {"QUERY": "What is it?", "ANSWER": "answer 1", "TRACE": ""}
    assert {len(column) for column in logged.values()} == {2}
    assert {"safety", "tritrace/ceiling"} <= set(logged)
