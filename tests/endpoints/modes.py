"""A server with one of many modes: the ways in which servers of this kind differ from OpenAI's, or fail.

    with ModeServer("deepseek", content) as server: ...

`MODES` lists them. A harmless mode ends with a reply of `content`; the tests state the expectation for the others.
"""

import gzip
import json
import time
import zlib
from functools import cache

from tests.endpoints.server import LocalServer, send

ERROR = {"message": "Provider returned error", "code": 429}
NO_LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
NO_TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."
)
SEED = {"message": "Unknown parameter: 'seed'", "param": "seed", "code": "unknown_parameter"}
FORMAT = {"message": "This response_format type is unavailable now", "param": None, "code": "invalid_request_error"}
EXTRA = {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}
QUOTA = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}


def completion(content, finish="stop", usage=None, **message):
    """Return a chat completion as a JSON object."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 10, "completion_tokens": 5} if usage is None else usage
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def _thoughts(text):
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _parts(text):
    return [_thoughts("hm"), {"type": "text", "text": text[:5]}, {"type": "text", "text": text[5:]}]


HARMLESS = {
    "plain": completion,
    "parts": lambda text: completion(_parts(text)),
    "think": lambda text: completion(f"<think>\nHm.\n</think>\n\n{text}"),
    "nousage": lambda text: {name: value for name, value in completion(text).items() if name != "usage"},
    "vast_usage": lambda text: completion(text, usage={"prompt_tokens": 10**4000, "completion_tokens": -1}),
    "odd_usage": lambda text: completion(text, usage={"prompt_tokens": "many", "completion_tokens": [1]}),
    "odd_refusal": lambda text: completion(text, refusal={"why": 1}),
}
"""Modes that reply at the first request."""
REFUSING = ("gpt5", "deepseek", "nojson", "noseed", "extra", "ratelimit", "busy", "gzip", "redirect_here")
"""Modes that reply in the end."""
ANSWERS = {
    "empty_stop": lambda text: completion("", reasoning_content=f"Thought of it. {text}"),
    "null_stop": lambda text: completion(None, reasoning_content=f"Thought of it. {text}"),
    "think_cut": lambda _: completion("<think>\nLet me think about it", "length"),
    "null_length": lambda _: completion(None, "length", reasoning="Let me think about it"),
    "empty": lambda _: completion(""),
    "cut": lambda text: completion(text[:9], "length"),
    "withheld": lambda _: completion("", "content_filter"),
    "refuses": lambda _: completion(None, refusal="I cannot help you with that."),
    "surrogates": lambda _: completion("\ud83d\udeabno\udcff" + "\ud83d"),
    "numbers": lambda _: completion(7),
    "flat": lambda _: [],
    "nochoices": lambda _: completion("") | {"choices": []},
    "nullchoices": lambda _: completion("") | {"choices": None},
    "nomessage": lambda _: {"choices": [{"index": 0}]},
    "error200": lambda _: {"error": ERROR, "user_id": "u"},
    "error200text": lambda _: {"error": "model is loading"},
}
"""Modes with status 200 and an incomplete reply."""
RAW = {
    "html": (200, "text/html", b"<html>login</html>"),
    "nobody": (200, "application/json", b""),
    "binary": (200, "application/json", bytes(range(256))),
    "bomb": (200, "application/json", b'{"choices":' + b"[" * 500_000),
    "deep": (200, "application/json", b'{"choices":' + b"[" * 900 + b"]" * 900 + b"}"),
    "charset": (500, "application/json; charset=zlib", b"{}"),
    "quota": (429, "application/json", json.dumps({"error": QUOTA}).encode()),
    "broken": (500, "application/json", b'{"error": {"message": "it broke"}}'),
    "teapot": (418, "text/plain", b"short and stout"),
    "gzip_lie": (200, "application/json", b"not packed"),
    "brotli": (200, "application/json", b"\x0b\x02\x80"),
}
STREAMS = ("gzip_bomb", "endless", "drip", "redirect_away", "silent")
MODES = (*HARMLESS, *REFUSING, *ANSWERS, *RAW, *STREAMS)
PACKED = {"gzip_lie": "gzip", "brotli": "br"}


@cache
def packed_bomb():
    """Return 200 MB of letters in 0.2 MB."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join([*(packer.compress(b"a" * 1_000_000) for _ in range(200)), packer.flush()])


class ModeServer(LocalServer):
    """Answers every request in one mode."""

    def __init__(self, mode, content, elsewhere=""):
        """Start.

        Args:
            mode: one of `MODES`.
            content: the model's reply: a function of the request, or a text.
            elsewhere: target of "redirect_away".
        """
        self.mode, self.content, self.elsewhere = mode, content, elsewhere
        self.requests, self.headers = [], []
        super().__init__()

    def answer(self, handler, body):
        request = json.loads(body)
        with self.lock:
            self.requests.append(request)
            self.headers.append(dict(handler.headers))
            count = len(self.requests)
        text = self.content if isinstance(self.content, str) else self.content(request)
        if self.mode in STREAMS:
            self.stream(handler)
        elif self.mode in RAW:
            status, kind, data = RAW[self.mode]
            packed = {"Content-Encoding": PACKED[self.mode]} if self.mode in PACKED else {}
            send(handler, data, status=status, content_type=kind, headers=packed)
        elif error := self.refusal(request, count):
            self.say(handler, *error)
        elif self.mode == "redirect_here" and not handler.path.startswith("/moved"):
            send(handler, b"", status=307, headers={"Location": "/moved/chat/completions"})
        elif self.mode == "gzip":
            data = gzip.compress(json.dumps(completion(text)).encode())
            send(handler, data, headers={"Content-Encoding": "gzip"})
        else:
            self.say(handler, 200, (HARMLESS | ANSWERS).get(self.mode, HARMLESS["plain"])(text))

    def refusal(self, request, count):  # noqa: PLR0911 - one a mode
        """Return the status and body of a refusal, or None."""
        kind = request.get("response_format", {}).get("type")
        match self.mode:
            case "gpt5" if "max_tokens" in request:
                return 400, {"error": {"message": NO_LIMIT, "param": "max_tokens", "code": "unsupported_parameter"}}
            case "gpt5" if request.get("temperature", 1) != 1:
                return 400, {"error": {"message": NO_TEMPERATURE, "param": "temperature", "code": "unsupported_value"}}
            case "deepseek" if kind == "json_schema":
                return 400, {"error": FORMAT}
            case "nojson" if kind:
                return 400, {"error": FORMAT}
            case "noseed" if "seed" in request:
                return 400, {"error": SEED}
            case "extra" if "seed" in request:
                return 422, EXTRA
            case "ratelimit" if count % 2:
                return 429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
            case "busy" if count == 1:
                return 503, {"error": {"message": "busy"}}
        return None

    def say(self, handler, status, record):
        # Lone surrogates are written as escapes, like servers in other languages do.
        send(handler, json.dumps(record).encode(), status=status, headers={"Retry-After-Ms": "1"})

    def stream(self, handler):
        """Send an endless or very long body until the client closes the connection."""
        if self.mode == "redirect_away":
            send(handler, b"", status=308, headers={"Location": self.elsewhere})
            return
        if self.mode == "silent":
            self.is_closing.wait(600)
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        if self.mode == "gzip_bomb":
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.close_connection = True
        if self.mode == "gzip_bomb":
            handler.wfile.write(packed_bomb())
            return
        while not self.is_closing.is_set():
            handler.wfile.write(b" " if self.mode == "drip" else b" " * 100_000)
            handler.wfile.flush()
            time.sleep(0.05 if self.mode == "drip" else 0)
