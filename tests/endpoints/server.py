"""An OpenAI-compatible endpoint whose model is a function from request to reply; it records every request."""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """The endpoint's reaction to one request."""

    body: str
    status: int = 200
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


def says(content, finish_reason="stop"):
    """Reply with a chat completion; a content that is not a text is written as JSON."""
    content = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    completion = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Reply(json.dumps(completion | {"usage": usage}))


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a killed client is not an error of the server
            super().handle_error(request, client_address)


class LocalServer:
    """An HTTP server on a free local port, in its own threads, during a `with` block."""

    models = ()
    """The content of the list of models."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            server_version = "test"
            protocol_version = "HTTP/1.1"

            def do_POST(handler):  # noqa: N805 - the server is `self`
                length = int(handler.headers["Content-Length"])
                body = handler.rfile.read(length)
                if len(body) < length:  # the client closed the connection while sending
                    handler.close_connection = True
                    return
                try:
                    self.answer(handler, body)
                except ConnectionError:
                    handler.close_connection = True  # the client stopped waiting

            def do_GET(handler):  # noqa: N805
                send(handler, json.dumps({"object": "list", "data": self.models}).encode())

            def log_message(self, *_):
                pass

        self.is_closing = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False  # the server would wait for a kept-alive connection
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler: Any, body: bytes) -> None:
        """Answer one request."""
        raise NotImplementedError

    def close(self):
        self.is_closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def send(handler, body, *, status=200, content_type="application/json", headers=None, length=None):
    """Send a response; `length` may be larger than the body."""
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


class Endpoint(LocalServer):
    """Replies with the result of a function of the request."""

    def __init__(self, reply: Callable[[dict[str, Any]], Reply]):
        self.reply = reply
        self.requests = []
        self.headers = []
        super().__init__()

    def answer(self, handler, body):
        request = json.loads(body)
        with self.lock:
            self.requests.append(request)
            self.headers.append(dict(handler.headers))
            reply = self.reply(request)
        self.is_closing.wait(reply.delay_seconds)
        headers = {"Retry-After-Ms": "1"} | reply.headers
        send(handler, reply.body.encode(), status=reply.status, content_type=reply.content_type, headers=headers)
