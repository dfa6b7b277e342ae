"""A model behind a server as a policy: its requests, its responses, and the handling of faults."""

import base64
import json
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from data.files.json_lines import write_rows
from data.prompts import rollout_prompt
from data.rows import Query
from eval.evaluation import evaluate_once
from eval.judges import RuleJudge
from eval.policies.dialects import DIALECTS
from eval.policies.endpoint import EndpointError, EndpointPolicy, EndpointSettings, chat_messages
from eval.policies.kept import FILE_NAME
from eval.results.metrics import estimates
from eval.results.samples import read_samples
from protocol.grammar.closing import closer_of
from tests.endpoints import Endpoint, Fault, FaultyProxy, Reply, says
from tests.endpoints.scripted import fails
from tests.eval.prompts import pocket_prompts
from toolkit.planner import plan_query

PROMPTS = [rollout_prompt(Query(f"q{number}", f"Question {number}?", "k", "test"), "compact") for number in range(30)]


def echo(request):
    return says(f"You asked: {request['messages'][-1]['content']}")


ECHOED = [f"You asked: Question {number}?" for number in range(30)]


def policy(url, *, constrained=False, **options):
    settings = {"model": "m", "timeout_seconds": 20.0, "server": "openai"} | options
    return EndpointPolicy(EndpointSettings(url=url, **settings), constrained=constrained)


def texts(generations):
    return [generation.text for generation in generations]


def test_a_request_is_greedy_seeded_and_bounded():
    with Endpoint(echo) as endpoint:
        (generation,) = policy(endpoint.url, max_new_tokens=99).respond(PROMPTS[:1], Path())
        (request,) = endpoint.requests
    fixed = {"temperature": 0.0, "seed": 0, "max_tokens": 99, "top_p": 1.0, "frequency_penalty": 0.0, "model": "m"}
    assert fixed.items() <= request.items()
    assert request["messages"] == list(PROMPTS[0].prompt)
    assert (generation.num_tokens, generation.is_truncated, generation.failure) == (10, False, "")


def test_pictures_travel_as_data_uris_before_the_words(tmp_path):
    (prompt,) = pocket_prompts(1, tmp_path)
    _, user = chat_messages(prompt, tmp_path)
    picture, words = user["content"]
    assert words == {"type": "text", "text": prompt.query}
    head, _, body = picture["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == (tmp_path / prompt.images[0]).read_bytes()


def test_a_turned_or_rare_picture_is_sent_as_the_local_policy_sees_it(tmp_path):
    picture = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.save(tmp_path / "rare.bmp")
    for name, size in (("turned.jpg", (2, 4)), ("rare.bmp", (4, 2))):
        prompt = rollout_prompt(Query("q", "What?", "k", "test", images=(name,)), "compact")
        uri = chat_messages(prompt, tmp_path)[-1]["content"][0]["image_url"]["url"]
        sent = Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert (sent.format, sent.size) == ("PNG", size)


def test_answers_stand_in_the_order_of_the_prompts_whatever_the_server_does_on_the_way():
    rates = dict.fromkeys((Fault.SERVER_ERROR, Fault.TOO_MANY, Fault.CUT), 0.1)
    with Endpoint(echo) as upstream, FaultyProxy(upstream.url, rates) as proxy:
        asked = policy(proxy.url)
        assert texts(asked.respond(PROMPTS, Path())) == ECHOED
        assert sum(count for fault, count in proxy.made.items() if fault) >= 3
        assert asked.usage.num_requests > len(PROMPTS)


def test_no_more_requests_are_open_than_allowed():
    lock, now, most = threading.Lock(), 0, 0

    class Counting(Endpoint):
        def answer(self, handler, body):
            nonlocal now, most
            with lock:
                now, most = now + 1, max(most, now + 1)
            time.sleep(0.01)
            with lock:  # before the reply is sent; after that the client may ask again at once
                now -= 1
            super().answer(handler, body)

    with Counting(echo) as endpoint:
        policy(endpoint.url, concurrency=3).respond(PROMPTS, Path())
    assert 2 <= most <= 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_hopeless_status_ends_it_at_once(status, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with Endpoint(lambda _: fails(status)) as endpoint:
        with pytest.raises(
            EndpointError, match=rf"policy model 'm' at .*: status {status}.*check the address"
        ) as caught:
            policy(endpoint.url, concurrency=1).respond(PROMPTS, Path())
        assert len(endpoint.requests) == 1
    assert "sk-secret" not in str(caught.value)


def test_a_refused_request_is_not_made_again_and_is_unscored_with_its_reason(tmp_path):
    def reply(request):
        return fails(400) if "Question 7?" in request["messages"][-1]["content"] else echo(request)

    settings = {"folder": tmp_path, "sampling": {"of": "the test"}, "judged_by": {}}
    with Endpoint(reply) as endpoint:
        samples = evaluate_once(lambda: policy(endpoint.url), PROMPTS, Path(), RuleJudge(), **settings)
        assert len(endpoint.requests) == len(PROMPTS)
        missing = [sample for sample in samples if sample.unscored.get("response")]
        assert [(sample.id, sample.scores) for sample in missing] == [("q7", {})]
        assert missing[0].unscored["response"] == "status 400: status 400"
        validity = estimates([samples])["validity"]
        assert (validity.n, validity.num_unscored) == (29, 1)
        # The evaluation is incomplete: the same call asks only for the missing responses.
        assert (tmp_path / FILE_NAME).exists()
        endpoint.requests.clear()
        endpoint.reply = echo
        again = evaluate_once(lambda: policy(endpoint.url), PROMPTS, Path(), RuleJudge(), **settings)
        assert len(endpoint.requests) == 1
    assert [sample.response for sample in again] == ECHOED
    assert not (tmp_path / FILE_NAME).exists()


def test_too_many_failures_stop_it_and_what_was_answered_is_kept(tmp_path):
    def reply(request):
        number = int(request["messages"][-1]["content"].split()[1].rstrip("?"))
        return echo(request) if number < 5 else fails(400)

    settings = {"folder": tmp_path, "sampling": {}, "judged_by": {}}
    with Endpoint(reply) as endpoint:
        options = {"concurrency": 1, "window_size": 10}
        with pytest.raises(EndpointError, match=r"3 of the last 8 requests went unanswered .*status 400"):
            evaluate_once(lambda: policy(endpoint.url, **options), PROMPTS, Path(), RuleJudge(), **settings)
        assert len(endpoint.requests) == 8
    assert len((tmp_path / FILE_NAME).read_text().splitlines()) == 1 + 5


def test_a_cut_off_response_is_truncated_and_a_marked_refusal_is_what_was_said():
    def refuses(_):
        reply = json.loads(says("").body)
        reply["choices"][0]["message"] |= {"content": None, "refusal": "I cannot."}
        return Reply(json.dumps(reply))

    with Endpoint(lambda _: says("<thinking>\n[VISU", "length")) as endpoint:
        (cut,) = policy(endpoint.url).respond(PROMPTS[:1], Path())
    assert (cut.text, cut.is_truncated) == ("<thinking>\n[VISU", True)
    with Endpoint(refuses) as endpoint:
        (refused,) = policy(endpoint.url).respond(PROMPTS[:1], Path())
    assert (refused.text, refused.is_truncated) == ("I cannot.", False)


CONSTRAINTS = {"vllm": ("structured_outputs", "grammar"), "sglang": ("ebnf",), "llama.cpp": ("grammar",)}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_each_server_gets_the_grammar_in_its_own_field(name):
    valid = closer_of(PROMPTS[0].plan).shortest
    with Endpoint(lambda _: says(valid)) as endpoint:
        endpoint.models = [{"id": "m", "object": "model", "created": 0, "owned_by": DIALECTS[name].owner}]
        (generation,) = policy(endpoint.url, server="auto", constrained=True).respond(PROMPTS[:1], Path())
        (request,) = endpoint.requests
    assert generation.text == valid
    field = request
    for key in CONSTRAINTS[name]:
        field = field[key]
    assert "start: thinking" in field
    assert DIALECTS[name].sampling.items() <= request.items()


def test_a_server_that_says_nothing_of_itself_is_not_asked_to_constrain():
    with Endpoint(echo) as endpoint:
        with pytest.raises(EndpointError, match=r"cannot be asked to constrain.*vllm serve .*guidance"):
            policy(endpoint.url, server="auto", constrained=True).respond(PROMPTS[:1], Path())
        assert endpoint.requests == []


def test_a_server_that_ignores_the_grammar_is_found_out():
    with (
        Endpoint(echo) as endpoint,
        pytest.raises(
            EndpointError, match="and did not: the response to q0 is complete, and not in its plan's grammar"
        ),
    ):
        policy(endpoint.url, server="vllm", constrained=True).respond(PROMPTS[:1], Path())


def test_settings_that_will_not_do_are_said_together():
    with pytest.raises(EndpointError) as caught:
        policy("http://localhost:1/v1", server="vlm", concurrency=0, timeout_seconds=0)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "endpoint_server",
        "endpoint_concurrency",
        "endpoint_timeout",
    ]
    with pytest.raises(EndpointError, match="policy_url: expected an address"):
        policy("localhost:8000")


EVALUATE = """
import sys
sys.modules["torch"] = None  # a server is asked without it
from stages.__main__ import main
main()
"""


def run_eval(url, data, output):
    flags = ("--endpoint", url, "--endpoint-model", "m", "--data", data, "--output", output)
    flags += ("--endpoint-concurrency", "2", "--judge-cache", "", "--judge-max-unscored", "1")  # nothing is labelled
    command = [sys.executable, "-W", "error", "-c", EVALUATE, "eval", *map(str, flags)]
    return subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.process
def test_a_killed_evaluation_goes_on_with_the_sample_at_which_it_stopped(tmp_path):
    write_rows(tmp_path / "test.jsonl", PROMPTS)
    path = tmp_path / "out" / FILE_NAME

    def slow(request):
        return Reply(echo(request).body, delay_seconds=0.1)

    def asked(requests):
        return [request["messages"][-1]["content"] for request in requests]

    with Endpoint(slow) as endpoint:
        process = run_eval(endpoint.url, tmp_path / "test.jsonl", tmp_path / "out")
        deadline = time.monotonic() + 300
        while not path.exists() or path.read_bytes().count(b"\n") < 6:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        process.kill()
        process.communicate()
        answered = {json.loads(line)["place"] for line in path.read_text().splitlines()[1:]}
        assert 5 <= len(answered) < len(PROMPTS)
        endpoint.requests.clear()
        endpoint.reply = echo
        process = run_eval(endpoint.url, tmp_path / "test.jsonl", tmp_path / "out")
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        expected = [prompt.query for place, prompt in enumerate(PROMPTS) if place not in answered]
        assert sorted(asked(endpoint.requests)) == sorted(expected)
    assert [sample.response for sample in read_samples(tmp_path / "out" / "samples.jsonl")] == ECHOED


def test_every_prompt_has_a_plan_of_its_own():
    assert {prompt.plan for prompt in PROMPTS} == {plan_query("Question?", 0).to_json()}
