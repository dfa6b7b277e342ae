"""The fault window: the share of recent requests that failed, and when it is too high to go on."""

from collections import Counter, deque

DEFAULT_SIZE = 50
"""Requests looked back on."""
DEFAULT_MAX_FAULTS = 0.2
"""Share of them that may fail."""


class FaultWindow:
    """The last outcomes; answers from a cache do not count, because they say nothing about the model."""

    def __init__(
        self, max_faults: float = DEFAULT_MAX_FAULTS, size: int = DEFAULT_SIZE, *, word: str = "unscored"
    ) -> None:
        """Start empty.

        Args:
            max_faults: share of the window that may fail; 1 never stops.
            size: number of outcomes in the window. The bound is a count, also while there are fewer: 10 of 50.
            word: what a failed request is called in messages, such as "unscored".
        """
        self.max_faults = max_faults
        self.size = size
        self.word = word
        self._outcomes: deque[str] = deque(maxlen=size)

    def note(self, reason: str = "") -> None:
        """Take in an outcome: the reason of a failure, or "" for a success."""
        self._outcomes.append(reason)

    @property
    def num_faults(self) -> int:
        """How many of the last outcomes are faults."""
        return sum(map(bool, self._outcomes))

    @property
    def is_too_much(self) -> bool:
        """Whether there are more faults than allowed."""
        return self.num_faults > self.max_faults * self.size

    def describe(self) -> str:
        """Say how many faults there are, what was allowed, and the commonest reason.

        >>> window = FaultWindow(max_faults=0.1, size=10)
        >>> for reason in ("", "status 500: busy", "status 500: down"):
        ...     window.note(reason)
        >>> window.describe()
        '2 of the last 3 requests went unscored (allowed are 1 in 10), most often (2 times): status 500: down'
        """
        reasons = [reason for reason in self._outcomes if reason]
        shown = f"{len(reasons)} of the last {len(self._outcomes)} requests went {self.word}"
        allowed = f"(allowed are {self.max_faults * self.size:g} in {self.size})"
        if not reasons:
            return f"{shown} {allowed}"
        # The text after a colon belongs to one request.
        kind, times = Counter(_kind(reason) for reason in reasons).most_common(1)[0]
        example = next(reason for reason in reversed(reasons) if _kind(reason) == kind)
        return f"{shown} {allowed}, most often ({times} times): {example}"


def _kind(reason: str) -> str:
    return reason.partition(":")[0]
