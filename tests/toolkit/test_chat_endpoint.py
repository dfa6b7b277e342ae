"""The shared client for models, with a server in every mode: a reply, or the reason why there is none."""

import asyncio
import json
import resource
import time

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoints.modes import ANSWERS, HARMLESS, MODES, RAW, REFUSING, STREAMS, ModeServer, completion, packed_bomb
from tests.examples import examples
from toolkit.chat import fields
from toolkit.chat.address import read_address
from toolkit.chat.caller import CallerSpec, ChatError
from toolkit.chat.completion import MAX_DEPTH, NoCompletionError, read_completion, read_json
from toolkit.chat.endpoint import KEY_VARIABLE, NUM_ATTEMPTS, ChatEndpoint, NoReplyError
from toolkit.chat.fields import RefusedFields
from toolkit.chat.transport import MAX_BYTES
from toolkit.chat.usage import Usage

CALLER = CallerSpec("caller", "reply", 1, ChatError, "caller_max_tokens")
MESSAGES = [{"role": "user", "content": "What is it?"}]
OPTIONS = {"temperature": 0, "seed": 0, "max_tokens": 64, "response_format": {"type": "json_schema"}}
SAID = '{"is": "a ball"}'


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch):
    monkeypatch.setattr(fields, "_known", {})


def ask(url, usage=None, *, messages=MESSAGES, needed=(), times=1, **options):
    """Return the last reply, or the reason why there is none."""

    async def asked():
        endpoint = ChatEndpoint(url, "m", CALLER, usage or Usage(), **({"timeout_seconds": 10.0} | options))
        try:
            return [await endpoint.ask(messages, OPTIONS, needed=needed) for _ in range(times)][-1]
        except NoReplyError as error:
            return str(error)
        finally:
            await endpoint.close()

    return asyncio.run(asked())


@pytest.mark.parametrize("mode", [*HARMLESS, *REFUSING])
def test_what_a_server_says_is_the_reply_whatever_it_refuses_on_the_way(mode):
    with ModeServer(mode, SAID) as server:
        reply = ask(server.url)
    assert (reply.text.rpartition("</think>")[2].strip(), reply.fault) == (SAID, "")
    assert reply.prompt_tokens in {0, 10}


@pytest.mark.parametrize(
    ("mode", "change"),
    [
        ("gpt5", "max_tokens is refused; max_completion_tokens 64 is sent instead"),
        ("gpt5", "temperature is refused; it is left out"),
        ("deepseek", "response_format is refused; response_format {'type': 'json_object'} is sent instead"),
        ("nojson", "response_format is refused; it is left out"),
        ("noseed", "seed is refused; it is left out"),
        ("extra", "seed is refused; it is left out"),
    ],
)
def test_a_refused_field_is_found_out_once_remembered_and_said(mode, change, capsys):
    with ModeServer(mode, SAID) as server:
        ask(server.url)
        first = len(server.requests)
        ask(server.url, times=3)  # another client of the same server
        assert len(server.requests) == first + 3
    assert capsys.readouterr().err.count(f"caller model 'm' at {server.url}: {change}") == 1


def test_a_field_that_is_needed_is_not_left_out():
    with ModeServer("noseed", SAID) as server:
        assert ask(server.url, needed=("seed",)) == "status 400: Unknown parameter: 'seed'"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "message",
    [
        "'max_tokens' is too large: 64. This model's maximum context length is 32 tokens, which is not supported.",
        "This model's maximum context length is 32 tokens. Please reduce max_tokens.",
        "no seed was sown",
        "Unknown model m",
    ],
)
def test_an_error_about_something_else_changes_nothing(message):
    assert RefusedFields().learn(OPTIONS | {"model": "m"}, message, {}) is None


def test_a_limit_is_never_left_out():
    known = RefusedFields()
    for _ in range(5):
        sent = known.applied(OPTIONS)
        known.learn(sent, f"{'max_completion_tokens' if 'max_completion_tokens' in sent else 'max_tokens'} unknown", {})
    assert known.applied(OPTIONS)["max_completion_tokens"] == 64


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        ("empty_stop", "the reply is reasoning without an answer: caller_max_tokens leaves more room"),
        ("null_stop", "the reply is reasoning without an answer"),
        ("null_length", "cut off at its token limit while the model was still thinking: caller_max_tokens raises it"),
        ("cut", "the reply was cut off at its token limit: caller_max_tokens raises it"),
        ("empty", "the reply is empty"),
        ("numbers", "the reply is empty"),
        ("withheld", "the server withheld the reply"),
        ("refuses", "the caller refuses"),
    ],
)
def test_what_is_no_whole_reply_is_told_as_what_it_is(mode, fault):
    with ModeServer(mode, SAID) as server:
        assert fault in ask(server.url).fault
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("mode", "reason", "num_requests"),
    [
        ("error200", "status 200 with an error: Provider returned error", NUM_ATTEMPTS),
        ("error200text", "status 200 with an error: model is loading", 1),
        ("nochoices", 'what came is no chat completion: there is no choice with a message in it: {"id": "x"', 1),
        ("nullchoices", "what came is no chat completion: there is no choice", 1),
        ("nomessage", "what came is no chat completion: there is no choice", 1),
        ("flat", "what came is no chat completion: there is no choice with a message in it: []", 1),
        ("html", "what came is no chat completion: HTML: <html>login</html>", 1),
        ("nobody", "what came is no chat completion: no JSON", 1),
        ("binary", "what came is no chat completion: no JSON", 1),
        ("bomb", "what came is no chat completion: no JSON (nested more than 64 deep)", 1),
        ("deep", "what came is no chat completion: no JSON (nested more than 64 deep)", 1),
        ("charset", "status 500: {}", NUM_ATTEMPTS),
        ("quota", "status 429: You exceeded your current quota.", 1),
        ("broken", "status 500: it broke", NUM_ATTEMPTS),
        ("teapot", "status 418: short and stout", 1),
        ("gzip_lie", "the reply was not taken: the reply cannot be unpacked", 1),
        ("brotli", "the reply was not taken: the reply is packed as 'br', which was not asked for", 1),
        ("gzip_bomb", f"the reply was not taken: the reply is longer than {MAX_BYTES} bytes", 1),
        ("endless", f"the reply was not taken: the reply is longer than {MAX_BYTES} bytes", 1),
    ],
)
def test_what_is_no_reply_is_told_in_the_servers_words_and_asked_again_where_that_helps(mode, reason, num_requests):
    usage = Usage()
    with ModeServer(mode, SAID) as server:
        assert ask(server.url, usage).startswith(reason)
        assert len(server.requests) == usage.num_requests == num_requests


def test_every_mode_has_its_expectation():
    assert len(MODES) == len(HARMLESS) + len(REFUSING) + len(ANSWERS) + len(RAW) + len(STREAMS) == 48


@pytest.mark.parametrize("mode", ["drip", "silent"])
def test_a_server_that_never_ends_is_given_up_in_time(mode):
    began = time.monotonic()
    with ModeServer(mode, SAID) as server:
        assert ask(server.url, timeout_seconds=0.5, num_attempts=2) == "no reply within 0.5 s"
        assert len(server.requests) == 2
    assert time.monotonic() - began < 20


def test_a_packed_bomb_costs_no_memory():
    packed_bomb()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ModeServer("gzip_bomb", SAID) as server:
        for _ in range(3):
            ask(server.url)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; unpacked it has 200,000


def test_a_redirect_to_another_server_does_not_carry_the_conversation_there(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-for-the-first-server")
    with ModeServer("plain", SAID) as other:
        with ModeServer("redirect_away", SAID, elsewhere=f"{other.url}/chat/completions") as server:
            reason = ask(server.url)
            assert len(server.requests) == 1
        assert other.requests == []
    assert reason.startswith(f"the reply was not taken: the server redirects to {other.url}/chat/completions")


def test_lone_surrogates_are_neither_sent_nor_taken():
    with ModeServer("surrogates", SAID) as server:
        reply = ask(server.url, messages=[{"role": "user", "content": [{"type": "text", "text": "a\ud83db"}]}])
        assert server.requests[0]["messages"][0]["content"][0]["text"] == "a\ufffdb"
    assert reply.text == "\N{NO ENTRY SIGN}no\ufffd\ufffd"


def test_a_login_and_a_query_are_sent_and_not_shown(monkeypatch, capsys):
    monkeypatch.setenv(KEY_VARIABLE, "none")

    class Echo(ModeServer):
        def answer(self, handler, body):
            self.paths = [handler.path]
            super().answer(handler, body)

    with Echo("noseed", "you are Aladdin:open-sesame with open-sesame-2") as server:
        url = server.url.replace("http://", "http://Aladdin:open-sesame@") + "?api-version=3&key=open-sesame-2"
        reply = ask(url)
        assert server.paths == ["/v1/chat/completions?api-version=3&key=open-sesame-2"]
    assert server.headers[0]["Authorization"] == "Basic QWxhZGRpbjpvcGVuLXNlc2FtZQ=="
    assert reply.text == "you are Aladdin:[hidden] with [hidden]"
    assert "open-sesame" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1", "http://h:99999/v1", "http://h:port/v1", "http://", "h:80", "ftp://h/v1", "http://a..b/", ""),
        *("http://h\x00", f"http://{'a' * 300}/v1"),
    ],
)
def test_an_address_that_is_none_is_a_clean_error(url):
    with pytest.raises(ChatError, match="caller_url: expected an address such as"):
        ask(url)


@pytest.mark.parametrize("key", ["sk-a\nb", "schlüssel", "sk-\x00"])
def test_a_key_that_cannot_be_sent_is_a_clean_error_that_does_not_show_it(key):
    with pytest.raises(ChatError, match="the key holds a character that cannot be sent") as caught:
        ask("http://localhost/v1", key=key)
    assert key not in str(caught.value)


@examples(300)
@given(st.one_of(st.text(), st.text().map(lambda text: f"http://{text}"), st.from_regex(r"https?://[^/]{1,30}/v1")))
def test_any_text_is_an_address_or_a_clean_error(text):
    try:
        address = read_address(text, CALLER)
    except ChatError:
        return
    assert httpx2.URL(address.base_url).host
    assert "@" not in address.shown.split("/")[2]


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.text(st.characters(categories=["Cs"]))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
NAMES = st.sampled_from(["choices", "message", "content", "finish_reason", "usage", "refusal", "type", "text"])
SHAPED = st.recursive(
    JSON, lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=4)), max_leaves=12
)


@examples(200)
@given(st.one_of(st.binary(), SHAPED.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_a_reply_or_no_completion(body):
    try:
        reply = read_completion(body, CALLER)
    except NoCompletionError as error:
        str(error).encode()
        return
    reply.text.encode()
    assert reply.text.strip() or reply.fault
    assert 0 <= reply.prompt_tokens < 2**63


@examples(100)
@given(JSON, JSON, JSON)
def test_any_content_refusal_and_usage_make_a_reply(content, refusal, usage):
    reply = read_completion(json.dumps(completion(content, usage=usage, refusal=refusal)).encode(), CALLER)
    assert reply.text.strip() or reply.fault


def test_json_is_bounded_in_depth_and_its_numbers_in_size():
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert read_json('["[[[[", 12]') == ["[[[[", 12]
    with pytest.raises(ValueError, match="nested more than"):
        read_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert read_json("1" * 100_000) == float("inf")
