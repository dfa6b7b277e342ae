"""A proxy that injects faults at given rates, the same ones in every run.

The fault of a request depends on the seed, on its body, and on how often the body was sent before, but not on the order
in which requests arrive. Transport faults (first half of `Fault`) are worth a retry; content faults (second half) come
as a reply.
"""

import http.client
import json
import random
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

from tests.endpoints.server import LocalServer, send


class Fault(StrEnum):
    """The injected faults."""

    TIME_OUT = "time-out"  # never replies
    STALL = "stall"  # replies late
    TOO_MANY = "429"
    SERVER_ERROR = "500"
    CUT = "cut"  # the connection ends in the middle of the body
    INVALID_JSON = "invalid JSON"
    OUT_OF_RANGE = "out of range"
    MISSING_FIELD = "missing field"


TRANSPORT = frozenset({Fault.TIME_OUT, Fault.STALL, Fault.TOO_MANY, Fault.SERVER_ERROR, Fault.CUT})
CONTENT = frozenset(Fault) - TRANSPORT


def evenly(rate, faults=tuple(Fault)):
    """Return equal rates that sum to `rate`."""
    return dict.fromkeys(faults, rate / len(faults))


class FaultyProxy(LocalServer):
    """Passes requests on to an endpoint, except those with a fault."""

    def __init__(
        self,
        upstream: str,
        rates: Mapping[Fault, float],
        *,
        seed: int = 0,
        stall_seconds: float = 10.0,
        retry_after: str = "0",
    ):
        """Start.

        Args:
            upstream: the endpoint's address.
            rates: share of requests for each fault; the others are passed on unchanged.
            seed: seed of the choice of faults.
            stall_seconds: delay of a stalled reply.
            retry_after: value of the header in a 429 response.
        """
        self.upstream = urlsplit(upstream)
        self.rates = dict(rates)
        self.seed = seed
        self.stall_seconds = stall_seconds
        self.retry_after = retry_after
        self.made = Counter()
        """Number of requests by fault so far; None for no fault."""
        self.fault_by_body = {}
        """Fault by request body and attempt at it, from 0."""
        self._attempts = Counter()
        super().__init__()

    def choose(self, body):
        """Return the fault of a request, or None."""
        with self.lock:
            attempt = self._attempts[body]
            self._attempts[body] += 1
            rng = random.Random(f"{self.seed} {attempt} {body.decode()}")
            faults = [None, *self.rates]
            weights = [max(0.0, 1 - sum(self.rates.values())), *self.rates.values()]
            (fault,) = rng.choices(faults, weights)
            self.made[fault] += 1
            self.fault_by_body[body, attempt] = fault
        return fault

    def answer(self, handler, body):
        fault = self.choose(body)
        if fault is Fault.TIME_OUT:
            self.is_closing.wait(600)
            handler.close_connection = True
            return
        if fault is Fault.STALL:
            self.is_closing.wait(self.stall_seconds)
        if fault in {Fault.TOO_MANY, Fault.SERVER_ERROR}:
            message = json.dumps({"error": {"message": f"the proxy says {fault}"}}).encode()
            headers = {"Retry-After": self.retry_after} if fault is Fault.TOO_MANY else {}
            send(handler, message, status=int(fault), headers=headers)
            return
        status, answer = self._passed_on(handler, body)
        if fault is Fault.CUT:
            send(handler, answer[: len(answer) // 2], status=status, length=len(answer))
            handler.close_connection = True
            return
        send(handler, spoilt(answer, fault) if fault in CONTENT else answer, status=status)

    def _passed_on(self, handler, body):
        connection = http.client.HTTPConnection(self.upstream.hostname, self.upstream.port, timeout=60)
        headers = {name: handler.headers[name] for name in ("Content-Type", "Authorization") if name in handler.headers}
        try:
            connection.request("POST", handler.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def spoilt(answer, fault):
    """Return a chat completion with a corrupted verdict."""
    completion = json.loads(answer)
    message = completion["choices"][0]["message"]
    if fault is Fault.INVALID_JSON:
        message["content"] = message["content"][:-1]  # the closing brace
        return json.dumps(completion).encode()
    fields = json.loads(message["content"])
    name = next(name for name, value in fields.items() if isinstance(value, int))
    if fault is Fault.OUT_OF_RANGE:
        fields[name] = 10
    else:
        del fields[name]
    message["content"] = json.dumps(fields)
    return json.dumps(completion).encode()
