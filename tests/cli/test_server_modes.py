"""Every command that uses a server, with a server in every mode: no traceback, and no exit 0 without a result."""

import json

import pytest

from data.files.json_lines import write_rows
from data.prompts import rollout_prompt
from data.rows import Query
from eval.results.samples import read_samples
from protocol import Labels, Plan, Risk
from protocol.grammar.closing import closer_of
from tests.endpoints.modes import HARMLESS, MODES, REFUSING, ModeServer
from toolkit.chat import fields
from toolkit.planner import plan_query

QUERY = Query("q", "What is it?", "k", "train", labels=Labels(combined_risk=Risk.SAFE))
ANSWER = closer_of(plan_query(QUERY.text, 0).to_json()).shortest
VERDICT = json.dumps({"reason": "fine", "safety": 3, "helpfulness": 3, "rigor": 3})
IS_SAID = {*HARMLESS, *REFUSING}


ENDLESS = {"silent", "drip"}
"""These are waited for until the time is up."""
TRIED = [pytest.param(mode, marks=pytest.mark.slow) if mode in ENDLESS else mode for mode in MODES]


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch):
    monkeypatch.setattr(fields, "_known", {})


def patience(mode):
    """Return how long a request may take, in seconds."""
    return 0.3 if mode in ENDLESS else 1


@pytest.mark.parametrize("mode", TRIED)
def test_a_plan_is_made_whatever_the_server_does(mode, tritrace):
    with ModeServer(mode, "no plan", elsewhere="http://127.0.0.1:9/v1") as server:
        options = (
            "--planner",
            "llm",
            "--llm",
            "m",
            "--base-url",
            server.url,
            "--timeout",
            patience(mode),
            "--as",
            "json",
        )
        code, out, err = tritrace("plan", QUERY.text, *options)
    assert (code, "Traceback" in err) == (0, False)
    assert Plan.from_json(out)


@pytest.mark.parametrize("mode", TRIED)
def test_an_evaluation_exits_0_only_with_responses_and_verdicts(mode, tritrace, tmp_path):
    write_rows(tmp_path / "test.jsonl", [rollout_prompt(QUERY, "compact")])

    def say(request):
        return VERDICT if "BEGIN ANSWER" in json.dumps(request["messages"]) else ANSWER

    with ModeServer(mode, say, elsewhere="http://127.0.0.1:9/v1") as server:
        options = (
            "--data",
            tmp_path / "test.jsonl",
            "--output",
            tmp_path / "out",
            "--endpoint-timeout",
            patience(mode),
        )
        judge = ("--judge", "llm", "--judge-url", server.url, "--judge-model", "m", "--judge-cache", "")
        code, _, err = tritrace(
            "eval",
            "--endpoint",
            server.url,
            "--endpoint-model",
            "m",
            *options,
            *judge,
            "--judge-timeout",
            patience(mode),
        )
    assert (code in {0, 1, 2}, "Traceback" in err) == (True, False)
    if mode in IS_SAID:
        assert code == 0, err
    if code == 0:
        (sample,) = read_samples(tmp_path / "out" / "samples.jsonl")
        assert sample.response
        assert sample.scores["safety"] == 3


@pytest.mark.parametrize("mode", TRIED)
def test_a_synthesis_exits_0_only_with_rows_or_reasons(mode, tritrace, tmp_path):
    write_rows(tmp_path / "queries.jsonl", [QUERY])
    with ModeServer(mode, ANSWER, elsewhere="http://127.0.0.1:9/v1") as server:
        options = (
            "--data",
            tmp_path / "queries.jsonl",
            "--output",
            tmp_path / "sft.jsonl",
            "--timeout",
            patience(mode),
        )
        code, _, err = tritrace(
            "data", "synthesize", "--teacher-url", server.url, "--teacher-model", "m", "--constrain", "none", *options
        )
    assert (code in {0, 1, 2}, "Traceback" in err) == (True, False)
    if mode in IS_SAID:
        assert code == 0, err
    if code == 0:
        rows = (tmp_path / "sft.jsonl").read_text().splitlines()
        rejects = [json.loads(line) for line in (tmp_path / "sft.rejected.jsonl").read_text().splitlines()]
        assert len(rows) + len(rejects) == 1
        assert all(reject["reasons"] for reject in rejects)
        assert len(rows) == (mode in IS_SAID)


@pytest.mark.parametrize("mode", TRIED)
def test_a_chat_exits_0_only_with_an_answer(mode, tritrace):
    with ModeServer(mode, ANSWER, elsewhere="http://127.0.0.1:9/v1") as server:
        options = ("--endpoint", server.url, "--endpoint-model", "m", "--endpoint-timeout", patience(mode))
        code, out, err = tritrace("chat", QUERY.text, *options)
    assert (code in {0, 1, 2}, "Traceback" in err, "Usage" in err) == (True, False, False)
    if mode in IS_SAID:
        assert code == 0, (out, err)
    if mode == "think_cut":
        assert "cut off at its token limit while the model was still thinking: max_new_tokens raises it" in err + out
    if code == 0:
        assert "verdict: valid" in out
        assert mode in IS_SAID
