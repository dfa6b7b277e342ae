"""Runs a real model behind `transformers serve`, and returns its reply to a request."""

import json
import socket
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from tests.endpoints.server import Reply
from tests.processes import started


@contextmanager
def served(folder):
    """Serve the model of a folder until the block ends, and yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory() as name, started(words, name) as process:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"


def replies_of(url):
    """Return a function that maps a request to the reply of the server at `url`."""

    def reply(request):
        body = json.dumps(request).encode()
        asked = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=600) as found:  # noqa: S310 - our own server
                return Reply(found.read().decode(), content_type=found.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            return Reply(error.read().decode(), status=error.code)

    return reply


def _wait_for(url, process):
    for _ in range(600):
        if process.exitcode is not None:
            raise RuntimeError(f"the server ended with exit code {process.exitcode}")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    raise RuntimeError("the server did not start")
