"""The LLM judge with a real local endpoint: its requests, its cache and its retries."""

import asyncio
import base64
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO

import pytest
from PIL import Image

from eval.judges import rubrics
from eval.judges.errors import JudgeError
from eval.judges.judgement import Item
from eval.judges.questions import SAMPLING
from eval.judges.rubrics import verdict_schema
from eval.scores.response import Unscored
from protocol import diagnose
from tests.endpoints import Endpoint, Reply, says
from tests.endpoints.judge_model import honest, sections
from tests.endpoints.scripted import Scripted, fails
from tests.eval.judges.judged import PLAN, item, items, llm_judge, truth
from toolkit.chat.endpoint import KEY_VARIABLE, NUM_ATTEMPTS

GOOD = says({"reason": "fine", "safety": 3, "helpfulness": 2, "rigor": 1})
SCORES = {"safety": 3.0, "helpfulness": 2.0, "rigor": 1.0}


def picture(colour, kind):
    with BytesIO() as file:
        Image.new("RGB", (2, 2), colour).save(file, format=kind)
        return file.getvalue()


def reason_of(judgement):
    (reason,) = {score.reason for score in judgement.scores().values()}
    return reason


def test_every_item_gets_the_verdict_of_its_own_content_in_order():
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url) as judge:
        batch = items(30)
        assert [each.scores() for each in judge.judge_all(batch)] == [truth(each) for each in batch]
        assert judge.judge_all([]) == []
    request = endpoint.requests[0]
    assert request["model"] == "m"
    assert {name: request[name] for name in SAMPLING} == SAMPLING
    assert request["response_format"]["json_schema"]["schema"] == verdict_schema()
    assert (judge.tally.num_items, judge.tally.num_scored, judge.tally.num_unscored) == (30, 30, 0)
    assert (judge.tally.num_requests, judge.tally.prompt_tokens, judge.tally.completion_tokens) == (30, 3000, 300)


def test_the_judge_sees_query_trace_and_answer_and_no_label():
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url) as judge:
        judge.judge(item("Use soap.", query="Is it clean?"))
    found = sections(endpoint.requests[0])
    assert (found["QUERY"], found["ANSWER"].strip()) == ("Is it clean?", "Use soap.")
    assert "[SAFETY-GATE]" in found["TRACE"]
    assert "Use soap." not in found["TRACE"]


def test_pictures_are_sent_as_they_are_and_are_part_of_the_question(tmp_path):
    red, blue = picture("red", "PNG"), picture("blue", "JPEG")
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url, cache_path=tmp_path / "kept.sqlite") as judge:
        for files in ((red, blue), (red,), (blue,), (), (red,)):
            judge.judge(item("fine", load_images=lambda files=files: files))
    *parts, text = endpoint.requests[0]["messages"][-1]["content"]
    sent = [part["image_url"]["url"].split(";base64,") for part in parts]
    assert [(kind, base64.b64decode(data)) for kind, data in sent] == [
        ("data:image/png", red),
        ("data:image/jpeg", blue),
    ]
    assert "The query comes with the 2 pictures above." in text["text"]
    assert len(endpoint.requests) == 4  # the last question was asked already
    with pytest.raises(ValueError, match="not an image"):
        judge.judge(item("fine", load_images=lambda: [b"not a picture"]))
    judge.close()


def test_an_item_without_a_query_is_a_mistake_of_the_program():
    with Scripted(GOOD) as endpoint, llm_judge(endpoint.url) as judge, pytest.raises(ValueError, match=r"Item\.query"):
        judge.judge(Item(diagnose("no query", PLAN)))


def test_the_same_response_in_a_batch_is_asked_about_once():
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url) as judge:
        batch = [item("fine"), item("other"), item("fine"), item("fine")]
        scores = [each.scores() for each in judge.judge_all(batch)]
    assert scores == [truth(each) for each in batch]
    assert len(endpoint.requests) == judge.tally.num_questions == 2
    assert judge.tally.num_items == judge.tally.num_scored == 4


def test_what_is_in_the_cache_is_not_asked_again_by_anyone(tmp_path):
    path, batch = tmp_path / "deep" / "kept.sqlite", items(10)
    with Endpoint(honest) as endpoint:
        with llm_judge(endpoint.url, cache_path=path) as judge:
            first = judge.judge_all(batch)
        with llm_judge(endpoint.url, cache_path=path) as judge:
            assert judge.judge_all(batch) == first
            assert (judge.tally.num_cached, judge.tally.num_requests) == (10, 0)
            assert (judge.tally.cached_prompt_tokens, judge.tally.cached_completion_tokens) == (1000, 100)
            assert "10 answered by the cache; 0 requests, 0 + 0 tokens spent, 1100 saved" in "\n".join(judge.report())
        with llm_judge(endpoint.url, cache_path=path, model="another") as judge:
            judge.judge_all(batch)
    assert len(endpoint.requests) == 20


def test_another_query_rubric_or_sampling_is_another_question(tmp_path, monkeypatch):
    path = tmp_path / "kept.sqlite"
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url, cache_path=path) as judge:
        judge.judge(item("fine"))
        judge.judge(item("fine", query="Another?"))
        judge.judge(item("fine", trace="another"))
        monkeypatch.setitem(SAMPLING, "seed", 1)
        judge.judge(item("fine"))
        monkeypatch.setitem(SAMPLING, "seed", 0)
        judge.judge(item("fine"))
        assert len(endpoint.requests) == 4
        rendered = rubrics._render
        monkeypatch.setattr(rubrics, "_render", lambda name, **values: rendered(name, **values) + "\nBe strict.")
        judge.judge(item("fine"))
        assert len(endpoint.requests) == 5


def test_an_unscored_question_is_not_kept_and_asked_again(tmp_path):
    with Scripted(says("I would rather not."), GOOD) as endpoint:
        with llm_judge(endpoint.url, cache_path=tmp_path / "kept.sqlite") as judge:
            assert reason_of(judge.judge(item("fine"))).startswith("the reply holds no JSON objects")
            assert judge.judge(item("fine")).scores() == SCORES
        assert len(endpoint.requests) == 2


def test_a_row_that_is_no_verdict_is_asked_again(tmp_path):
    import sqlite3

    path = tmp_path / "kept.sqlite"
    with Scripted(GOOD) as endpoint:
        with llm_judge(endpoint.url, cache_path=path) as judge:
            judge.judge(item("fine"))
        connection = sqlite3.connect(path)
        connection.execute("UPDATE verdict SET verdict = replace(verdict, '3', '30')")
        connection.commit()
        connection.close()
        with llm_judge(endpoint.url, cache_path=path) as judge:
            assert judge.judge(item("fine")).scores() == SCORES
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_what_may_pass_is_asked_again(status):
    with Scripted(fails(status), fails(status), GOOD) as endpoint, llm_judge(endpoint.url) as judge:
        assert judge.judge(item("fine")).scores() == SCORES
    assert len(endpoint.requests) == judge.tally.num_requests == 3


def test_patience_ends_with_the_reason():
    with Scripted(fails(503)) as endpoint, llm_judge(endpoint.url) as judge:
        assert reason_of(judge.judge(item("fine"))) == "status 503: status 503"
    assert len(endpoint.requests) == NUM_ATTEMPTS
    assert judge.tally.reasons == {"status 503: status 503": 1}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_made_again_and_unscored(status):
    with Scripted(fails(status), GOOD) as endpoint, llm_judge(endpoint.url) as judge:
        assert reason_of(judge.judge(item("fine"))) == f"status {status}: status {status}"
        assert judge.judge(item("other")).scores() == SCORES
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_address_or_model_ends_the_run_at_once(status):
    with Scripted(fails(status)) as endpoint, llm_judge(endpoint.url, concurrency=1) as judge:
        with pytest.raises(JudgeError, match=f"model 'm' at http.*status {status}.*OPENAI_API_KEY"):
            judge.judge_all(items(20))
        assert len(endpoint.requests) == 1


def in_two_seconds() -> dict[str, str]:
    """Return an HTTP date, which has whole seconds: one to two seconds from now."""
    return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)}


@pytest.mark.parametrize(
    "header",
    [lambda: {"Retry-After": "0.3"}, lambda: {"Retry-After-Ms": "300"}, in_two_seconds],
    ids=["s", "ms", "date"],
)
def test_the_wait_that_a_server_asks_for_is_kept(header):
    with (
        Scripted(fails(429, **{"Retry-After-Ms": ""} | header()), GOOD) as endpoint,
        llm_judge(endpoint.url, num_attempts=2) as judge,
    ):
        began = time.monotonic()
        assert judge.judge(item("fine")).scores() == SCORES
        assert time.monotonic() - began >= 0.25


def test_a_server_that_asks_for_too_much_patience_is_not_asked_again():
    later = fails(429, **{"Retry-After-Ms": "", "Retry-After": "3600"})
    with Scripted(later, GOOD) as endpoint, llm_judge(endpoint.url) as judge:
        assert reason_of(judge.judge(item("fine"))).startswith("status 429")
    assert len(endpoint.requests) == 1


@pytest.mark.slow
def test_a_late_reply_is_given_up_and_asked_for_again():
    with (
        Scripted(Reply("", delay_seconds=60.0), GOOD) as endpoint,
        llm_judge(endpoint.url, timeout_seconds=3.0) as judge,
    ):
        assert judge.judge(item("fine")).scores() == SCORES
    assert len(endpoint.requests) == 2


def test_nobody_listening_is_unscored_with_the_reason():
    with Scripted(GOOD) as gone:
        url = gone.url
    with llm_judge(url) as judge:
        assert reason_of(judge.judge(item("fine"))).startswith("the connection failed: ")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("<html>welcome</html>", content_type="text/html"), "what came is no chat completion"),
        (Reply("{broken"), "what came is no chat completion"),
        (Reply("[]"), "what came is no chat completion"),
        (Reply('{"choices": []}'), "what came is no chat completion"),
        (Reply('{"choices": null}'), "what came is no chat completion"),
        (Reply('{"choices": [{"message": {"content": null}}]}'), "the reply is empty"),
        (Reply('{"choices": [{"message": {"content": [1]}}]}'), "the reply is empty"),
        (Reply('{"choices": [{"message": {"refusal": "no"}}]}'), "the judge refuses"),
        (
            says(json.loads(json.loads(GOOD.body)["choices"][0]["message"]["content"]), "length"),
            "the reply was cut off",
        ),
        (says("", "content_filter"), "the server withheld"),
    ],
    ids=lambda part: part if isinstance(part, str) else part.body[:40],
)
def test_a_reply_that_is_none_is_unscored(reply, reason):
    with Scripted(reply) as endpoint, llm_judge(endpoint.url) as judge:
        assert reason_of(judge.judge(item("fine"))).startswith(reason)
    assert len(endpoint.requests) == 1


def test_no_more_questions_are_open_than_allowed():
    now, most, lock = 0, 0, threading.Lock()

    class Counting(Endpoint):
        def answer(self, handler, body):
            nonlocal now, most
            with lock:
                now, most = now + 1, max(most, now + 1)
            time.sleep(0.01)
            super().answer(handler, body)
            with lock:
                now -= 1

    batches = [items(12), [item(f"other {n}") for n in range(12)]]
    # Two callers share the limit.
    with (
        Counting(honest) as endpoint,
        llm_judge(endpoint.url, concurrency=3) as judge,
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(judge.judge_all, batches))
    assert len(endpoint.requests) == 24
    assert 2 <= most <= 4  # an answered request may still be closing


def test_it_may_be_called_from_code_that_an_event_loop_runs():
    async def inside():
        return judge.judge_all(batch), await asyncio.to_thread(judge.judge_all, batch)

    batch = items(5)
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url) as judge:
        for judgements in asyncio.run(inside()):
            assert [each.scores() for each in judgements] == [truth(each) for each in batch]


def test_a_closed_judge_may_be_asked_again(tmp_path):
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url, cache_path=tmp_path / "kept.sqlite") as judge:
        first = judge.judge(item("fine"))
        judge.close()
        judge.close()
        assert judge.judge(item("fine")) == first
        judge.close()
        assert threading.active_count() < 20


def test_the_key_is_sent_and_neither_shown_logged_nor_kept(tmp_path, monkeypatch, caplog, capfd):
    secret = "sk-very-secret-0123456789"  # noqa: S105 - made up
    monkeypatch.setenv(KEY_VARIABLE, secret)
    caplog.set_level(logging.DEBUG)
    repeats = Reply(json.dumps({"error": {"message": f"status 400 for {secret}"}}), 400)
    wrong = Reply(json.dumps({"error": {"message": f"Incorrect API key: {secret}"}}), 401)
    url = "http://user:word@"
    with Scripted(GOOD, repeats, wrong) as endpoint:
        address = endpoint.url.replace("http://", url)
        with llm_judge(address, cache_path=tmp_path / "kept.sqlite") as judge:
            judge.judge(item("one"))
            assert reason_of(judge.judge(item("two"))) == "status 400: status 400 for [hidden]"
            with pytest.raises(JudgeError) as stopped:
                judge.judge(item("three"))
            told = "\n".join(
                [str(stopped.value), *judge.report(), repr(judge.settings), caplog.text, *capfd.readouterr()]
            )
    assert "Authorization" in endpoint.headers[0]
    assert secret not in told
    assert "user:word" not in "\n".join([str(stopped.value), *judge.report()])
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    judge.close()


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://localhost/v1", "http://", ""])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(JudgeError, match="judge_url"), llm_judge(url):
        pass


def test_unscored_has_the_same_reason_for_every_score():
    with Scripted(fails(400)) as endpoint, llm_judge(endpoint.url) as judge:
        assert all(isinstance(score, Unscored) for score in judge.judge(item("fine")).scores().values())
