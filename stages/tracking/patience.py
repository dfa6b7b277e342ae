"""Calls a service that may be unavailable without blocking: calls are queued until the service answers again.

This is our own code, because `tenacity` repeats a call at once and makes the caller wait. Here training goes on, and
the calls keep their order.
"""

import time
from collections import deque
from collections.abc import Callable

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30.0, 600.0
"""Seconds until the next attempt after a failure; doubled each time."""
FOR_GOOD = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED"})
"""MLflow's error codes for which a retry is useless."""


class Patience:
    """Runs actions in order, now or later. A caller waits for at most one time-out, and then not for a while."""

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        """Start with an empty queue.

        Args:
            on_trouble: called with the first error only.
        """
        self._on_trouble = on_trouble
        self._waiting: deque[Callable[[], None]] = deque()
        self._not_before = 0.0
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._has_spoken = False

    @property
    def num_waiting(self) -> int:
        """Number of queued actions."""
        return len(self._waiting)

    def do(self, action: Callable[[], None]) -> None:
        """Run an action after all queued ones."""
        self._waiting.append(action)
        self.catch_up()

    def catch_up(self, *, at_once: bool = False) -> None:
        """Run the queued actions, unless the service failed a moment ago; `at_once` tries it anyway."""
        if not at_once and time.monotonic() < self._not_before:
            return
        while self._waiting:
            try:
                self._waiting[0]()
            except Exception as error:  # noqa: BLE001 - whatever a service raises, what is tracked is worth more
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                if getattr(error, "error_code", None) not in FOR_GOOD:
                    self._not_before = time.monotonic() + self._wait_seconds
                    self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
                    self._speak(f"does not answer: {reason}")
                    return
                self._speak(f"does not take what it is given: {reason}")
            else:
                self._wait_seconds = FIRST_WAIT_SECONDS
            self._waiting.popleft()

    def _speak(self, trouble: str) -> None:
        if not self._has_spoken:
            self._has_spoken = True
            self._on_trouble(trouble)
