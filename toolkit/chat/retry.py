"""When a request to a model is made again, and after how long: only after what may pass by itself.

Connection failures, time-outs and the statuses 408, 409, 429 and 5xx. Never after 400, 401, 403, 404 or another
refusal, and never after an answer, however useless. The wait grows, with jitter so that many clients do not return
together; a server's `Retry-After` goes before it, unless it asks for more patience than there is.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import openai
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

RETRYABLE_STATUSES = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with one request."""

    num_attempts: int = 4
    """The first included."""
    first_wait_seconds: float = 0.5
    """Before the second attempt; doubled for each further one. Up to as much again is added at random."""
    max_wait_seconds: float = 20.0
    max_retry_after_seconds: float = 120.0
    """A server that asks to come back later than this is not asked again for this request."""


def retrying(patience: Patience) -> AsyncRetrying:
    """Return an iterator over attempts that re-raises the last failure."""

    def is_worth_it(error: BaseException) -> bool:
        return is_retryable(error) and (retry_after_seconds(error) or 0.0) <= patience.max_retry_after_seconds

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = retry_after_seconds(error) if error else None
        return backoff(state) if asked is None else asked

    first = patience.first_wait_seconds
    backoff = wait_exponential(multiplier=first, max=patience.max_wait_seconds) + wait_random(0, first)
    return AsyncRetrying(
        stop=stop_after_attempt(patience.num_attempts), wait=wait, retry=retry_if_exception(is_worth_it), reraise=True
    )


def is_retryable(error: BaseException) -> bool:
    """Whether a failed request may succeed when it is made again unchanged."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code in RETRYABLE_STATUSES or error.status_code >= 500
    return isinstance(error, (TimeoutError, openai.APIConnectionError))


def retry_after_seconds(error: BaseException) -> float | None:
    """Return how long the server asks to wait (RFC 9110: seconds or a date; or milliseconds), or None."""
    headers: Any = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
