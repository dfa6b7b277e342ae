"""Starting and stopping the server.

At SIGTERM or Ctrl-C it takes no new connections, answers every open request, and ends with exit code 0. A second signal
ends it at once.
"""

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from eval.guard.answer import GuardedAnswer
from protocol.errors import UserError
from stages.serving.app import make_app
from stages.serving.wire import Question

KEY_VARIABLE = "TRITRACE_SERVE_KEY"


def serve(
    answer: Callable[[Question], GuardedAnswer],
    served: str,
    *,
    host: str,
    port: int,
    capacity: int,
    ready: Callable[[str], object],
) -> None:
    """Serve until told to stop.

    Args:
        answer: answers a question and records it.
        served: the name of the model.
        host: the address to listen on.
        port: 0 chooses a free port.
        capacity: maximum number of waiting questions.
        ready: called with the server's URL as soon as it listens.

    Raises:
        UserError: the address is not available, or others can reach it and no key is set.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and not _is_own(host):
        raise UserError(
            f"--host {host}: others can reach this server; set {KEY_VARIABLE} to the key that they have to send"
        )
    listening = _bound(host, port)
    app = make_app(answer, served, capacity=capacity, key=key)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=30)
    with listening:
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listening.getsockname()[1]}/v1")
        with _ending_well():
            uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _ending_well() -> Iterator[None]:
    """Keep uvicorn from raising the signal again after it has stopped, which would end the process."""
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that already listens, so that a caller who learns the address can connect at once.

    Raises:
        UserError: the address is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}; --port 0 takes a free one") from None
    return found
