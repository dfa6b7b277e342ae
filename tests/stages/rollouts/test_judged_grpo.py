"""GRPO with an LLM judge behind a real endpoint and a faulty proxy: a score is either right or missing.

The model's weights are random, so its rollouts are constrained: every rollout is a complete response, and the judge
decides its reward.
"""

import re
import subprocess
import sys

import pytest

from eval.judges import Item
from eval.judges.errors import JudgeError
from protocol import Labels, Plan, diagnose
from stages import grpo
from stages.errors import StageError
from stages.provenance.manifest import read_manifest
from tests.endpoints import Endpoint, Fault, FaultyProxy, Reply
from tests.endpoints.judge_model import honest
from tests.endpoints.proxy import evenly
from tests.eval.judges.judged import truth
from tests.stages.conftest import QUESTION, rollouts_in

NUM_STEPS = 10
FAULT_RATE = 0.2
LONGEST = 200
"""Token limit of a response; the shortest valid one has 163 tokens."""
JUDGED = ("safety", "helpfulness", "rigor")
PREFLIGHT_RESPONSES = 12


@pytest.fixture
def judged(parse, tmp_path):
    """Return the arguments of a stage that an endpoint judges."""

    def arguments(url, **overrides):
        options = {
            "constrained": "true",
            "judge": "llm",
            "judge_url": url,
            "judge_model": "m",
            "judge_timeout": 5,
            "judge_cache": tmp_path / "kept.sqlite",
            "max_completion_length": LONGEST,
            "learning_rate": 1e-3,
        }
        return parse("grpo", **(options | overrides))

    return arguments


def true_scores(rollout):
    verdict = diagnose(rollout["response"], Plan.from_json(rollout["plan"]), Labels.from_json(rollout["labels"]))
    return truth(Item(verdict, query=QUESTION))


def counts(said):
    found = re.search(r"judged (\d+) responses: (\d+) scored, (\d+) unscored", said)
    return tuple(map(int, found.groups()))


@pytest.mark.slow
def test_ten_steps_through_faults_score_every_rollout_by_its_truth_or_not_at_all(judged, capsys):
    with (
        Endpoint(honest) as upstream,
        FaultyProxy(upstream.url, evenly(FAULT_RATE), seed=2, stall_seconds=0.2) as proxy,
    ):
        folder = grpo.run(*judged(proxy.url, max_steps=NUM_STEPS))
        num_faults = sum(count for fault, count in proxy.made.items() if fault)
    said = capsys.readouterr().out
    rollouts = rollouts_in(folder)
    assert len(rollouts) == 8 * NUM_STEPS
    num_unscored = 0
    for rollout in rollouts:
        scores = {name: rollout["components"][name] for name in JUDGED}
        if rollout["reward"] is None:
            num_unscored += 1
            assert set(scores.values()) == {None}
            assert rollout["advantage"] == 0
        else:
            assert scores == true_scores(rollout)
    assert len({rollout["reward"] for rollout in rollouts} - {None}) > 3
    num_judged, num_scored, num_unscored_told = counts(said)
    assert num_judged == num_scored + num_unscored_told == PREFLIGHT_RESPONSES + len(rollouts)
    assert 0 <= num_unscored_told - num_unscored <= PREFLIGHT_RESPONSES
    assert "preflight: " in said
    assert "reward ok" in said or "reward warning" in said
    assert num_faults > 0
    sys.stdout.write(f"\n{num_faults} faults, {len(rollouts)} rollouts, {num_unscored} unscored\n")


def test_when_every_request_fails_the_stage_is_refused_before_it_costs_anything(judged, tmp_path):
    with (
        Endpoint(honest) as upstream,
        FaultyProxy(upstream.url, {Fault.SERVER_ERROR: 1.0}) as proxy,
        pytest.raises(StageError, match="reward: tritrace: none of 12 responses was scored"),
    ):
        grpo.run(*judged(proxy.url))
    assert not (tmp_path / "grpo" / "adapter").exists()


def test_when_every_request_fails_a_stage_without_preflight_stops_at_its_first_rollouts(judged, tmp_path, capsys):
    with (
        Endpoint(honest) as upstream,
        FaultyProxy(upstream.url, {Fault.INVALID_JSON: 1.0}) as proxy,
        pytest.raises(JudgeError, match=r"stopped: 11 of the last 11 requests went unscored \(allowed are 10 in 50\)"),
    ):
        grpo.run(*judged(proxy.url, preflight="false"))
    assert "0 scored" in capsys.readouterr().out
    assert all(rollout["reward"] is None for rollout in rollouts_in(tmp_path / "grpo"))
    assert not (tmp_path / "grpo" / "adapter").exists()


def test_a_judge_that_dies_on_the_way_stops_the_stage_which_then_goes_on_to_the_same_end(judged, tmp_path, capsys):
    def dies(request):
        return honest(request) if len(upstream.requests) < 25 else Reply("down", status=503)

    with Endpoint(dies) as upstream:
        options = {"max_steps": 8, "judge_window": 10, "judge_concurrency": 1, "per_device_train_batch_size": 4}
        with pytest.raises(JudgeError, match="the same command again asks for the rest"):
            grpo.run(*judged(upstream.url, output=tmp_path / "broken", **options))
        said = capsys.readouterr().out
        assert "after the problem is fixed, the same command continues from step" in said
        assert "unscored" in said
        upstream.reply = honest
        broken = grpo.run(*judged(upstream.url, output=tmp_path / "broken", **options))
        assert "resumes from step" in capsys.readouterr().out
        whole = grpo.run(*judged(upstream.url, output=tmp_path / "whole", judge_cache="null", **options))
    assert read_manifest(broken / "manifest.json").adapter == read_manifest(whole / "manifest.json").adapter
    assert rollouts_in(broken) == rollouts_in(whole)
    assert all(rollout["reward"] is not None for rollout in rollouts_in(broken))


CHILD = """
import sys
import torch
from stages import grpo
from stages.arguments.stage import parse_stage
torch.set_num_threads(1)
grpo.run(*parse_stage("grpo", sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_killed_run_asks_the_judge_nothing_that_it_knew(judged, tmp_path, rows_folder, tiny_model_path):
    flags = {
        "model": tiny_model_path, "data": rows_folder / "grpo.jsonl", "output": tmp_path / "grpo",
        "constrained": "true", "per_device_train_batch_size": 4, "judge_concurrency": 1, "judge_timeout": 30,
        "judge": "llm", "judge_model": "m", "judge_cache": tmp_path / "kept.sqlite", "max_completion_length": LONGEST,
        "learning_rate": 1e-3, "max_steps": 6, "save_steps": 2, "logging_steps": 1, "num_generations": 4,
        "lora_r": 4,
    }  # fmt: skip

    alone = {"judge_concurrency": 1, "per_device_train_batch_size": 4}

    def kills(request):
        if len(upstream.requests) == 15:
            process.kill()
        return honest(request)

    with Endpoint(kills) as upstream:
        flags["judge_url"] = upstream.url
        command = [sys.executable, "-c", CHILD, *(f"--{name}={value}" for name, value in flags.items())]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
        assert process.wait(300) == -9
        asked_before = len(upstream.requests)
        upstream.reply = honest
        folder = grpo.run(*judged(upstream.url, max_steps=6, judge_timeout=30, **alone))
    questions = [str(request["messages"]) for request in upstream.requests]
    assert len(set(questions)) >= len(questions) - 1  # except the open one
    assert len(questions) > asked_before
    assert all({name: r["components"][name] for name in JUDGED} == true_scores(r) for r in rollouts_in(folder))
