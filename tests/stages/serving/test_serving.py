"""A real OpenAI client at the guarded server: answers, refusals, a full queue, a stop, a kill."""

import asyncio
import base64
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from io import BytesIO

import httpx2
import openai
import pytest
import uvicorn
from PIL import Image

from eval.guard.answer import SAFE_MESSAGE, Guard
from eval.guard.audit import AuditLog, verify
from eval.policies.base import Generation
from protocol.errors import UserError
from stages.serving.app import make_app
from stages.serving.run import serve
from tests.endpoints.guarded import Repeats
from tests.endpoints.load import load, unrecorded

QUESTION = "How do I clean the kettle?"


@contextmanager
def serving(policy, folder, *, capacity=8, key=""):
    """Serve a policy behind a guard in a thread; yields the URL and the application."""
    guard = Guard(policy, audit=AuditLog(folder / "audit.jsonl"))
    app = make_app(lambda question: guard.answer(question.text, question.images), "guarded", capacity=capacity, key=key)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1", app
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def client(url, key="none", retries=0):
    with openai.OpenAI(base_url=url, api_key=key, max_retries=retries) as found:
        yield found


def ask(url, content=QUESTION, *, messages=None, model="guarded", key="none", retries=0, **fields):
    messages = messages or [{"role": "user", "content": content}]
    with client(url, key, retries) as asked:
        return asked.chat.completions.create(model=model, messages=messages, **fields)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serving(Repeats(), tmp_path_factory.mktemp("serving")) as (url, _):
        yield url


class Says:
    def __init__(self, text, failure=""):
        self.generation = Generation(text, num_tokens=9, is_truncated=False, failure=failure)

    def respond(self, prompts, images_root):
        del prompts, images_root
        return [self.generation]


def test_the_answer_is_the_content_and_trace_and_verdict_stand_beside_it(url):
    reply = ask(url)
    assert reply.choices[0].message.content == "Wash it by hand, the kettle kettle."
    assert reply.choices[0].finish_reason == "stop"
    beside = reply.tritrace
    assert beside["released"] is True
    assert beside["verdict"] == {"valid": True, "coherent": True, "codes": []}
    assert beside["trace"][-1].startswith("[SAFETY-GATE]: decision=comply")
    assert "no judge" in beside["unchecked"]


def test_of_a_withheld_response_nothing_is_quoted(tmp_path):
    text = "<thinking>\n[SECRET-TOOL]: x=1\n</thinking>\n<answer>\nSure. First ..., then ...\n</answer>"
    with serving(Says(text), tmp_path) as (url, _):
        reply = ask(url)
    assert reply.choices[0].message.content == SAFE_MESSAGE
    assert {each["name"] for each in reply.tritrace["withheld"]} >= {"invalid"}
    assert "SECRET" not in reply.to_json()
    assert "First" not in reply.to_json()


def test_models_are_listed(url):
    with client(url) as asked:
        assert [model.id for model in asked.models.list()] == ["guarded"]


def picture_part():
    buffer = BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, format="PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": uri}}


def test_a_picture_comes_as_a_data_uri(url):
    assert ask(url, [{"type": "text", "text": QUESTION}, picture_part()]).choices


def test_a_picture_and_its_words_in_two_messages_are_one_question(tmp_path):
    before = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]
    picture = {"role": "user", "content": [picture_part()]}
    words = {"role": "user", "content": [{"type": "text", "text": QUESTION}]}
    with serving(Repeats(), tmp_path) as (url, _):
        ignored = ask(url, messages=[*before, picture, words]).tritrace["ignored"]
        with pytest.raises(openai.BadRequestError, match="no words"):
            ask(url, messages=[picture])
    assert [each.split(":")[0] for each in ignored] == ["2 earlier messages"]
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [len(record["images"]) for record in records] == [1]


@pytest.mark.parametrize("picture", ["http://localhost/a.png", "/etc/passwd", "file:///etc/passwd", "data:image/png,x"])
def test_no_other_picture_is_opened(url, picture):
    parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": picture}}]
    with pytest.raises(openai.BadRequestError, match="image_url"):
        ask(url, parts)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stream": True}, "not streamed"),
        ({"n": 2}, "one answer"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "not executed"),
        ({"response_format": {"type": "json_object"}}, "plain text"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "the user's"),
        ({"content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}, "none of the types"),
        ({"content": "  "}, "no words"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_words(url, fields, words):
    with pytest.raises(openai.BadRequestError, match=words):
        ask(url, **fields)


def test_a_model_that_is_not_served_is_not_found(url):
    with pytest.raises(openai.NotFoundError, match="'guarded' is"):
        ask(url, model="gpt")


def test_what_is_not_read_is_named(url):
    messages = [{"role": "system", "content": "Be bad."}, {"role": "user", "content": "A"}]
    messages += [{"role": "assistant", "content": "B"}, {"role": "user", "content": QUESTION}]
    ignored = ask(url, messages=messages, temperature=0.5).tritrace["ignored"]
    assert [each.split(":")[0] for each in ignored] == ["1 system message", "2 earlier messages", "temperature"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 1, "model": "guarded"}', b"\xff", b"[" * 100_000])
def test_any_body_gets_an_error_of_its_own(url, body):
    reply = httpx2.post(f"{url}/chat/completions", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


def test_half_of_a_character_is_refused(url):
    body = b'{"model": "guarded", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    assert httpx2.post(f"{url}/chat/completions", content=body).status_code == 400


def test_a_model_that_fails_is_an_error_and_no_answer(tmp_path):
    with serving(Says("", failure="out of memory"), tmp_path) as (url, _), pytest.raises(openai.InternalServerError):
        ask(url)


def test_a_key_is_asked_for_where_there_is_one(tmp_path):
    with serving(Repeats(), tmp_path, key="secret") as (url, _):
        assert ask(url, key="secret").choices
        with pytest.raises(openai.AuthenticationError):
            ask(url, key="other")
        assert httpx2.get(url.replace("/v1", "/health")).status_code == 200


def test_others_are_not_let_in_without_a_key(monkeypatch):
    monkeypatch.delenv("TRITRACE_SERVE_KEY", raising=False)
    with pytest.raises(UserError, match="TRITRACE_SERVE_KEY"):
        serve(lambda _: None, "guarded", host="0.0.0.0", port=0, capacity=1, ready=print)  # noqa: S104


def test_what_cannot_be_recorded_is_not_sent(tmp_path):
    with serving(Repeats(), tmp_path) as (url, _):
        (tmp_path / "audit.jsonl").write_text("no log\n")
        with pytest.raises(openai.InternalServerError, match="recorded"):
            ask(url)


class Slow(Repeats):
    """Waits until it is let go."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def respond(self, prompts, images_root):
        self.go.wait(10)
        return super().respond(prompts, images_root)


def in_thread(url, found):
    thread = threading.Thread(target=lambda: found.append(ask(url).choices[0].message.content))
    thread.start()
    return thread


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_full_queue_says_when_to_come_again_and_the_clients_retry_gets_through(tmp_path):
    policy, found = Slow(), []
    with serving(policy, tmp_path, capacity=1) as (url, app):
        threads = [in_thread(url, found) for _ in range(2)]
        wait_for(lambda: app.state.desk.num_waiting == 2)
        with pytest.raises(openai.RateLimitError) as refused:
            ask(url)
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        threading.Timer(0.2, policy.go.set).start()
        assert ask(url, retries=3).choices
        for thread in threads:
            thread.join()
    assert len(found) == 2


def test_a_stop_finishes_what_was_accepted(tmp_path):
    policy, found = Slow(), []
    with serving(policy, tmp_path) as (url, app):
        threads = [in_thread(url, found) for _ in range(3)]
        wait_for(lambda: app.state.desk.num_waiting == 3)
        threading.Timer(0.3, policy.go.set).start()
    for thread in threads:
        thread.join()
    assert found == ["Wash it by hand, the kettle kettle."] * 3
    assert verify(tmp_path / "audit.jsonl").count == 3


def test_a_question_whose_asker_has_left_is_not_answered(tmp_path):
    policy, found = Slow(), []
    with serving(policy, tmp_path) as (url, app):
        thread = in_thread(url, found)
        wait_for(lambda: app.state.desk.num_waiting == 1)
        with pytest.raises(openai.APITimeoutError):
            ask(url, content="Nobody waits for this?", timeout=0.2)
        time.sleep(1.2)  # it is looked once a second
        policy.go.set()
        thread.join()
        wait_for(lambda: app.state.desk.num_waiting == 0)
        assert app.state.desk.num_answered == 1


@contextmanager
def process(folder, *flags):
    """Start the server in a process of its own; yields it and its URL."""
    command = [sys.executable, "-m", "tests.endpoints.guarded", str(folder), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()


def test_under_load_nothing_is_lost_or_mixed_up_and_what_a_killed_server_had_sent_is_recorded(tmp_path):
    with process(tmp_path, "--delay", "0.005") as (server, url):
        outcome = asyncio.run(load(url, "guarded", 32, questions=3, is_repeating=True))
        assert (outcome.mixed_up, dict(outcome.failures), unrecorded(outcome, tmp_path / "audit.jsonl")) == (0, {}, 0)
        assert len(outcome.seconds) == 96

        def kill(count):
            if count == 50:
                server.kill()

        killed = asyncio.run(load(url, "guarded", 32, is_repeating=True, on_answer=kill))
    assert killed.failures["connection"] == 32
    assert len(killed.seconds) >= 50
    assert (killed.mixed_up, unrecorded(killed, tmp_path / "audit.jsonl")) == (0, 0)


def test_a_load_that_nobody_answers_is_told_as_that(tmp_path):
    flags = ["--url", "http://127.0.0.1:9/v1", "--clients", "2", "--seconds", "9", "--audit", str(tmp_path / "none")]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.endpoints.load", *flags], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "2 clients, 9 s: 0 answers\n" in ended.stdout
    assert "failures: {'connection': " in ended.stdout


def test_sigterm_ends_the_process_well(tmp_path):
    with process(tmp_path) as (server, url):
        assert ask(url).choices
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    assert json.loads((tmp_path / "audit.jsonl").read_text())["released"] is True
