"""`tritrace chat` and `tritrace audit` with a server: shown, withheld and logged texts."""

import base64
import json
from io import BytesIO

import pytest
from PIL import Image

from eval.guard.answer import SAFE_MESSAGE
from protocol import diagnose
from stages.cli.ask.chat import path_of
from tests.endpoints import Endpoint, says
from tests.endpoints.scripted import Scripted, fails
from tests.eval.guard.test_guard import HOSTILE, QUESTION, response
from toolkit.planner import plan_query


def chat(tritrace, endpoint, *args, stdin=""):
    flags = ("--endpoint", endpoint.url, "--endpoint-model", "m", "--endpoint-server", "openai")
    return tritrace("chat", *args, *flags, stdin=stdin)


def test_plan_trace_path_verdict_and_answer_are_shown(tritrace):
    with Endpoint(lambda _: says(response())) as endpoint:
        code, out, _ = chat(tritrace, endpoint, QUESTION)
    assert code == 0
    assert "plan: guide, linear" in out
    assert "path: KEYWORD-FLAGGING -> INTENT-RADAR -> RISK-SCORER -> SAFETY-GATE -> answer" in out
    assert "verdict: valid, coherent" in out
    assert "Wash it by hand." in out


def test_an_open_chat_shows_what_is_wrong_and_what_a_guard_would_do(tritrace):
    with Endpoint(lambda _: says(HOSTILE["a skipped step"][0])) as endpoint:
        code, out, _ = chat(tritrace, endpoint, QUESTION)
    assert code == 1
    assert "INTENT-RADAR -x-> SAFETY-GATE" in out
    assert "a guard would withhold it: invalid: G302" in out
    assert "Wash it by hand." in out


@pytest.mark.parametrize("case", ["no trace at all", "two answers", "a refusal that complies", "control characters"])
def test_a_closed_chat_shows_nothing_that_a_withheld_response_says(tritrace, case):
    with Endpoint(lambda _: says(HOSTILE[case][0])) as endpoint:
        code, out, err = chat(tritrace, endpoint, QUESTION, "--fail-closed")
    assert code == 3
    assert " ".join(SAFE_MESSAGE.split()[:8]) in out
    assert f"withheld: {HOSTILE[case][1]}" in out
    assert "Sure" not in out + err
    assert "everyday task" not in out + err


def test_a_closed_chat_closes_over_a_server_that_fails(tritrace):
    with Scripted(fails(400)) as endpoint:
        code, out, _ = chat(tritrace, endpoint, QUESTION, "--fail-closed")
    assert (code, "withheld: policy: gave no response" in out) == (3, True)
    with Scripted(fails(401)) as endpoint:
        code, out, err = chat(tritrace, endpoint, QUESTION, "--fail-closed")
    assert (code, "withheld: policy: failed with EndpointError" in out) == (3, True)
    assert "check the address" in " ".join(err.split())
    with Scripted(fails(401)) as endpoint:
        assert chat(tritrace, endpoint, QUESTION)[0] == 2


def test_a_terminal_is_not_obeyed(tritrace):
    hostile = response("Wash\x1b[2J it \u202edna yb\u202c hand.\x07\u200b")
    with Endpoint(lambda _: says(hostile)) as endpoint:
        _, out, _ = chat(tritrace, endpoint, QUESTION)
    assert "Wash\ufffd[2J it" in out
    assert not set("\x1b\x07\u202e\u202c\u200b") & set(out)


def test_pictures_come_by_path_and_by_data_uri(tritrace, tmp_path):
    buffer = BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    with Endpoint(lambda _: says(response())) as endpoint:
        chat(tritrace, endpoint, QUESTION, "--image", tmp_path / "a.png", "--image", uri)
        (request,) = endpoint.requests
    assert [part["image_url"]["url"] for part in request["messages"][-1]["content"][:-1]] == [uri, uri]
    with Endpoint(lambda _: says(response())) as endpoint:
        code, _, err = chat(tritrace, endpoint, QUESTION, "--image", tmp_path / "b.png")
    assert (code, "b.png" in err) == (2, True)
    assert endpoint.requests == []


def test_questions_are_read_line_by_line_with_pictures_for_the_next_one(tritrace):
    buffer = BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    lines = [QUESTION, "/image missing.png", uri, "", "What is this?", "And now?", "/help", "/quit", "Never asked"]
    with Endpoint(lambda _: says(response())) as endpoint:
        code, out, _ = chat(tritrace, endpoint, stdin="\n".join(lines))
        asked = [request["messages"][-1]["content"] for request in endpoint.requests]
    assert code == 0
    assert [each if isinstance(each, str) else len(each) for each in asked] == [QUESTION, 2, "And now?"]
    assert "error: 'missing.png'" in out
    assert "1 picture for the next question" in out


def test_a_log_of_questions_is_whole_until_somebody_changes_it(tritrace, tmp_path):
    log = tmp_path / "audit.jsonl"
    with Endpoint(lambda _: says(response())) as endpoint:
        for _ in range(3):
            chat(tritrace, endpoint, QUESTION, "--audit", log)
        chat(tritrace, endpoint, QUESTION, "--audit", log, "--audit-texts", "--fail-closed")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["enforced"] for record in records] == [False, False, False, True]
    assert [QUESTION in json.dumps(record) for record in records] == [False, False, False, True]
    code, out, _ = tritrace("audit", log)
    assert (code, out) == (0, f"whole: 4 records, head {records[-1]['hash']}\n")
    log.write_text(
        "".join(log.read_text().splitlines(keepends=True)[:1] + log.read_text().splitlines(keepends=True)[2:])
    )
    code, out, _ = tritrace("audit", log)
    assert code == 1
    assert "audit.jsonl:2: is record 3" in out
    assert tritrace("audit", log, "--head", "f" * 64)[0] == 1
    assert tritrace("audit", tmp_path / "missing.jsonl")[0] == 2


def test_a_path_names_every_step_that_the_graph_lacks():
    plan = plan_query(QUESTION, 0)
    text = "<thinking>\n[SAFETY-GATE]: decision=comply\n[NO-SUCH]: a=1\n[INTENT-RADAR]: text_risk=safe\n</thinking>"
    assert path_of(diagnose(text, plan)) == "x-> SAFETY-GATE -x-> NO-SUCH -x-> INTENT-RADAR -x-> answer"
    assert path_of(diagnose("", plan)) == "(none)"
