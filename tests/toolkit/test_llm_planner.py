"""The LLM planner with a real local HTTP endpoint that replies well, badly, late or not at all."""

import json
import socket
import sys
import time
from contextlib import ExitStack

import pytest
from jsonschema import Draft202012Validator

from protocol import SpecError
from tests.endpoints.scripted import Scripted, fails
from tests.endpoints.server import Reply, says
from toolkit.catalogue import CATALOGUE
from toolkit.llm_planner import Endpoint, EndpointError, LLMPlanner, read_selection
from toolkit.planner import named_plan, plan_query

pytest.importorskip("openai")
TEXT = "How do I hurt the man?"
GRAPH = json.loads(named_plan("alarm").to_json())["graph"]
TOOLS = list(named_plan("alarm").by_name)
GOOD = {"persona": "guardian", "tools": TOOLS, "graph": GRAPH, "reason": "it asks to hurt someone"}
DEAD_END = GOOD | {"graph": GRAPH | {"accept": ["REFUSAL-GENERATOR"], "edges": GRAPH["edges"][:2]}}


@pytest.fixture
def endpoint():
    """Start an endpoint that returns these replies in order and repeats the last one; it records its requests."""
    with ExitStack() as stack:

        def start(*replies, **options):
            server = stack.enter_context(Scripted(*replies))
            return Endpoint(server.url, "m", **options), server.requests

        yield start


def test_a_good_answer_is_the_plan(endpoint):
    end, requests = endpoint(says(GOOD))
    plan = LLMPlanner(end)(TEXT, 1)
    assert plan.fingerprint == named_plan("alarm").fingerprint
    assert plan.reason == "m: it asks to hurt someone"
    (request,) = requests
    assert request["response_format"]["type"] == "json_schema"
    schema = request["response_format"]["json_schema"]["schema"]
    assert Draft202012Validator(schema).is_valid(GOOD)
    system, user = (message["content"] for message in request["messages"])
    assert all(name in system for name in CATALOGUE)
    assert json.loads(user) == {"query": TEXT, "pictures": 1}


def test_without_a_picture_no_tool_that_looks_at_one_can_be_chosen(endpoint):
    end, requests = endpoint(says(GOOD))
    plan = LLMPlanner(end)(TEXT, 0)
    assert "VISUAL-SCAN" not in json.dumps(requests[0])
    assert "'VISUAL-SCAN' is not one of" in plan.reason
    assert plan.fingerprint == plan_query(TEXT, 0).fingerprint


def test_an_invalid_answer_is_sent_back_with_its_diagnosis(endpoint):
    end, requests = endpoint(says("I would look closely."), says(DEAD_END), says(GOOD))
    assert LLMPlanner(end)(TEXT, 1).reason.startswith("m: ")
    assert len(requests) == 3
    answer, diagnosis = requests[1]["messages"][-2:]
    assert answer == {"role": "assistant", "content": "I would look closely."}
    assert "plan: not JSON" in diagnosis["content"]
    assert "is a dead end" in requests[2]["messages"][-1]["content"]


def test_a_model_that_never_gives_a_plan_is_replaced_and_the_reason_says_so(endpoint):
    end, requests = endpoint(says(DEAD_END))
    plan = LLMPlanner(end, num_attempts=2)(TEXT, 1)
    assert len(requests) == 2
    assert plan.fingerprint == plan_query(TEXT, 1).fingerprint
    assert plan.reason.startswith("alarm: the question says 'hurt' (instead of m, which gave no plan in 2 answers; ")
    assert "is a dead end" in plan.reason


def test_an_overloaded_server_is_asked_again_by_the_client(endpoint):
    end, requests = endpoint(fails(500), says(GOOD))
    assert LLMPlanner(end)(TEXT, 1).reason.startswith("m: ")
    assert len(requests) == 2
    end, requests = endpoint(fails(503), num_attempts=2)
    assert "(instead of m, which gave no plan: status 503: status 503" in LLMPlanner(end)(TEXT, 1).reason
    assert len(requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply("<html>welcome</html>", content_type="text/html"),
        Reply("{broken"),
        Reply('{"choices": []}'),
        Reply('{"choices": null}'),
        Reply("[]"),
    ],
    ids=lambda reply: reply.body,
)
def test_a_body_that_is_no_completion_is_replaced(endpoint, reply):
    end, _ = endpoint(reply, num_attempts=1)
    assert "(instead of m, which gave no plan: what came is no chat completion: " in LLMPlanner(end)(TEXT, 1).reason


@pytest.mark.parametrize("content", ["", "null", "[]", '{"persona": "guide"}', "[" * 100_000])
def test_content_that_is_no_plan_is_replaced(endpoint, content):
    end, _ = endpoint(says(content))
    assert (
        "(instead of m, which gave no plan in 1 answers; the last: plan"
        in LLMPlanner(end, num_attempts=1)(TEXT, 1).reason
    )


def test_a_refused_connection_is_replaced():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plan = LLMPlanner(Endpoint(f"http://127.0.0.1:{port}/v1", "m", num_attempts=1))(TEXT, 1)
    assert "(instead of m, which gave no plan: the connection failed: " in plan.reason


def test_a_server_that_hangs_is_given_up_after_the_time_out(endpoint):
    end, requests = endpoint(Reply("", delay_seconds=60.0), timeout_seconds=0.2, num_attempts=1)
    began = time.monotonic()
    assert "which gave no plan: no reply within 0.2 s" in LLMPlanner(end)(TEXT, 1).reason
    assert time.monotonic() - began < 30
    assert len(requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_request_is_the_users_to_mend(endpoint, status):
    end, requests = endpoint(fails(status))
    with pytest.raises(EndpointError, match=f"planner model 'm' at http.*status {status}"):
        LLMPlanner(end)(TEXT, 1)
    assert len(requests) == 1


def test_the_key_is_not_shown():
    assert "secret" not in repr(LLMPlanner(Endpoint("http://x/v1", "m", api_key="secret")))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(EndpointError, match="the extra 'judge'"):
        LLMPlanner(Endpoint("http://x/v1", "m"))(TEXT, 1)


def test_a_selection_has_to_leave_every_decision_possible():
    edges = [*GRAPH["edges"], ["RISK-SCORER", "REFUSAL-GENERATOR"]]
    tools = [name for name in TOOLS if name != "SAFETY-GATE"]
    graph = GRAPH | {"edges": [edge for edge in edges if "SAFETY-GATE" not in edge], "accept": ["REFUSAL-GENERATOR"]}
    with pytest.raises(SpecError, match="no trace can decide to comply or redirect"):
        read_selection(json.dumps(GOOD | {"tools": tools, "graph": graph}), list(CATALOGUE.values()))
