"""Asking a service that may be away, without waiting for it: what it misses is kept in order until it answers again."""

import time
from collections import deque
from collections.abc import Callable

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30.0, 600.0
"""Until a service that did not answer is asked again; each time twice as long."""
FOR_GOOD = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED"})
"""Answers, by MLflow's codes, that asking again would not change."""


class Patience:
    """Does things in order, now or later. Whoever asks waits at most for one time-out, and then not for a while."""

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        """Start with nothing to do.

        Args:
            on_trouble: told what went wrong; once, however often it does.
        """
        self._on_trouble = on_trouble
        self._waiting: deque[Callable[[], None]] = deque()
        self._not_before = 0.0
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._has_spoken = False

    @property
    def num_waiting(self) -> int:
        """How much has not been done yet."""
        return len(self._waiting)

    def do(self, action: Callable[[], None]) -> None:
        """Do something after all that is waiting."""
        self._waiting.append(action)
        self.catch_up()

    def catch_up(self, *, at_once: bool = False) -> None:
        """Do what is waiting, unless the service was away a moment ago; `at_once` asks it anyway."""
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
