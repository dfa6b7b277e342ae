"""The queue before a guard: a bounded number of questions wait, and are answered one at a time, in order.

A model answers one question at a time. Without a bound, callers would wait until they time out. While the queue is
full, a caller is told when to try again. Accepted questions are answered even if the server is stopping.
"""

import asyncio
import logging
import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

from eval.guard.answer import GuardedAnswer
from stages.serving.wire import Question, RequestError

_FIRST_GUESS_SECONDS = 1.0
_WEIGHT = 0.2
"""Weight of the newest answer in the running mean of the seconds that an answer takes."""
_log = logging.getLogger(__name__)

_Job = tuple[Question, "Future[GuardedAnswer]"]


class Desk:
    """Answers questions in a thread of its own."""

    def __init__(self, answer: Callable[[Question], GuardedAnswer], capacity: int) -> None:
        """Start the thread.

        Args:
            answer: answers a question; called by one thread only.
            capacity: maximum number of waiting questions, without the one that is being answered.
        """
        self.capacity = capacity
        self.num_answered = 0
        self._answer = answer
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=capacity + 1)
        self._mean_seconds = _FIRST_GUESS_SECONDS
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="guard", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Number of questions that wait or are being answered."""
        return self._jobs.unfinished_tasks

    @property
    def is_open(self) -> bool:
        """Whether it accepts questions."""
        return not self._is_closed and self._thread.is_alive()

    def submit(self, question: Question) -> "asyncio.Future[GuardedAnswer]":
        """Accept a question; called in the event loop that awaits the answer.

        Raises:
            RequestError: 429 if too many wait, 503 if the server is stopping.
        """
        if not self.is_open:
            raise RequestError("the server is stopping", status=503, code="stopping", wait=5)
        if self.num_waiting > self.capacity:
            raise RequestError(
                f"{self.capacity} questions wait already", status=429, code="queue_full", wait=self._wait()
            )
        future: Future[GuardedAnswer] = Future()
        self._jobs.put_nowait((question, future))
        return asyncio.wrap_future(future)

    def close(self) -> None:
        """Accept no more questions, answer those that were accepted, and end the thread."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
        self._thread.join()

    def _wait(self) -> int:
        return max(1, math.ceil(self.num_waiting * self._mean_seconds))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            question, future = job
            started = monotonic()
            if future.set_running_or_notify_cancel():  # otherwise the caller has left
                try:
                    future.set_result(self._answer(question))
                except BaseException as error:  # noqa: BLE001 - one question must not end the thread that answers all
                    _log.error("no answer: %s: %s", type(error).__name__, error)
                    future.set_exception(error)
                self.num_answered += 1
                self._mean_seconds += _WEIGHT * (monotonic() - started - self._mean_seconds)
            self._jobs.task_done()
        self._jobs.task_done()
