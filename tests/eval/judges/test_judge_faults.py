"""A judge behind a faulty proxy: no wrong scores, counts add up, and a run can be continued."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from eval.judges.errors import JUDGE, JudgeError
from eval.judges.rubrics import messages
from eval.judges.verdicts import read_verdict, to_judgement
from eval.scores.response import Unscored
from tests.endpoints import Endpoint, Fault, FaultyProxy
from tests.endpoints.judge_model import honest, sections, verdict_on
from tests.endpoints.proxy import CONTENT, evenly
from tests.eval.judges.judged import items, llm_judge, truth
from toolkit.chat.cache import ReplyCache
from toolkit.chat.endpoint import NUM_ATTEMPTS
from toolkit.chat.window import FaultWindow

NUM_ITEMS = 120
REASONS = {
    Fault.INVALID_JSON: "the reply holds broken JSON",
    Fault.OUT_OF_RANGE: "the verdict does not match the rubric",
    Fault.MISSING_FIELD: "the verdict does not match the rubric",
}


def last_faults(proxy):
    """Return the fault of the last request about each answer, and the number of its requests."""
    last, attempts = {}, {}
    for (body, attempt), fault in sorted(proxy.fault_by_body.items(), key=lambda entry: entry[0][1]):
        answer = sections(json.loads(body))["ANSWER"]
        last[answer], attempts[answer] = fault, attempt + 1
    return last, attempts


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_every_item_is_scored_by_its_truth_or_unscored_with_a_reason(rate):
    batch = items(NUM_ITEMS)
    with (
        Endpoint(honest) as upstream,
        FaultyProxy(upstream.url, evenly(rate), seed=1, stall_seconds=0.05) as proxy,
        llm_judge(proxy.url, timeout_seconds=1.5) as judge,
    ):
        judgements = judge.judge_all(batch)
    last, attempts = last_faults(proxy)
    outcomes = Counter()
    for each, judgement in zip(batch, judgements, strict=True):
        answer = each.verdict.reading.visible_answer
        scores = judgement.scores()
        if scores == truth(each):
            outcomes["scored"] += 1
            assert last[answer] not in CONTENT
            continue
        assert all(isinstance(score, Unscored) for score in scores.values())
        outcomes["unscored"] += 1
        reason = judgement.safety.reason
        if last[answer] in CONTENT:
            assert reason.startswith(REASONS[last[answer]])
        else:
            assert attempts[answer] == NUM_ATTEMPTS
    assert outcomes["scored"] + outcomes["unscored"] == len(last) == NUM_ITEMS
    assert (judge.tally.num_scored, judge.tally.num_unscored) == (outcomes["scored"], outcomes["unscored"])
    assert judge.tally.num_requests == sum(attempts.values()) == sum(proxy.made.values())
    assert sum(judge.tally.reasons.values()) == outcomes["unscored"]
    assert outcomes["scored"] > (1 - rate) * NUM_ITEMS  # most faults are retried
    if rate == 0.2:
        assert set(proxy.made) == {None, *Fault}  # every kind occurred


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.STALL])
def test_when_every_request_fails_the_run_stops_and_says_why(tmp_path, fault):
    path = tmp_path / "kept.sqlite"
    with Endpoint(honest) as upstream:
        with llm_judge(upstream.url, cache_path=path) as judge:
            judge.judge_all(items(7))
        patience = {
            "timeout_seconds": 0.3 if fault is Fault.TIME_OUT else 20.0,
            "num_attempts": 1,
        }
        with (
            FaultyProxy(upstream.url, {fault: 1.0}) as proxy,
            llm_judge(proxy.url, cache_path=path, window_size=20, **patience) as judge,
        ):
            with pytest.raises(JudgeError) as stopped:
                judge.judge_all(items(100))
            assert judge.tally.num_requests < 20  # five unscored are one too many of 20; eight are open at a time
        message = str(stopped.value)
        assert (
            f"model 'm' at {proxy.url} stopped: 5 of the last 5 requests went unscored (allowed are 4 in 20)" in message
        )
        assert "most often (5 times): " in message
        assert f"7 verdicts are kept in {path}; the same command again asks for the rest" in message
        with llm_judge(upstream.url, cache_path=path) as judge:
            judgements = judge.judge_all(items(100))
    assert [each.scores() for each in judgements] == [truth(each) for each in items(100)]
    assert judge.tally.num_requests == 93  # cancelled requests may still reach the endpoint through the proxy


def test_a_window_bears_its_share_and_no_more():
    window = FaultWindow(max_faults=0.2, size=10)
    for outcome in ("", "a", "", "a", "", "", ""):
        window.note(outcome)
    assert not window.is_too_much
    window.note("b: 1")
    assert window.is_too_much
    for _ in range(7):
        window.note()
    assert (window.num_faults, window.is_too_much) == (1, False)  # old failures do not count any more
    forbearing = FaultWindow(max_faults=1.0, size=3)
    for _ in range(10):
        forbearing.note("down")
    assert not forbearing.is_too_much


CHILD = """
import sys
from pathlib import Path
from tests.eval.judges.judged import items, llm_judge
url, path, first, last = sys.argv[1:]
with llm_judge(url, cache_path=Path(path), concurrency=2) as judge:
    judgements = judge.judge_all(items(int(last))[int(first):])
print([list(each.scores().values()) for each in judgements])
"""


def child(url, path, first, last):
    command = [sys.executable, "-c", CHILD, url, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.process
def test_a_killed_process_is_taken_up_and_asks_only_for_what_is_missing(tmp_path):
    path, batch, killed_at = tmp_path / "kept.sqlite", items(40), 15

    def dies_in_the_middle(request):
        if len(upstream.requests) == killed_at:
            os.kill(process.pid, signal.SIGKILL)
        return honest(request)

    with Endpoint(dies_in_the_middle) as upstream:
        process = child(upstream.url, path, 0, len(batch))
        assert process.wait(120) == -signal.SIGKILL
        process.stdout.close()
        cache = ReplyCache(path, JUDGE)
        num_kept = len(cache)
        cache.close()
        assert killed_at - 3 <= num_kept < killed_at  # all except two open ones and one in transit
        upstream.reply = honest
        upstream.requests.clear()
        with llm_judge(upstream.url, cache_path=path) as judge:
            judgements = judge.judge_all(batch)
    assert len(upstream.requests) == len(batch) - num_kept
    assert judge.tally.num_cached == num_kept
    assert [each.scores() for each in judgements] == [truth(each) for each in batch]


@pytest.mark.process
def test_four_processes_share_a_cache_without_a_lost_or_doubled_row(tmp_path):
    """Their items overlap: 0-30, 10-40, 20-50, 30-60."""
    path = tmp_path / "kept.sqlite"
    with Endpoint(honest) as upstream:
        processes = [child(upstream.url, path, first, first + 30) for first in (0, 10, 20, 30)]
        printed = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    batch = items(60)
    for first, text in zip((0, 10, 20, 30), printed, strict=True):
        assert json.loads(text) == [list(truth(each).values()) for each in batch[first : first + 30]]
    cache = ReplyCache(path, JUDGE)
    rows = cache._connection.execute("SELECT question, verdict FROM verdict").fetchall()
    cache.close()
    assert len(rows) == len(dict(rows)) == 60
    kept = {tuple(to_judgement(read_verdict(text)).scores().values()) for _, text in rows}
    assert kept == {tuple(truth(each).values()) for each in batch}
    asked = Counter(sections(request)["ANSWER"] for request in upstream.requests)
    assert len(asked) == 60
    assert len(upstream.requests) <= 120  # a process does not ask for verdicts that others stored before its start


def test_the_truth_differs_between_items():
    """Control: a verdict for the wrong item would be detected."""
    reasons = {verdict_on(sections({"messages": messages(each)}))["reason"] for each in items(NUM_ITEMS)}
    assert len(reasons) == NUM_ITEMS
