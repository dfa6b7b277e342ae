"""How fast a long step is and how long the rest of it takes, in words.

tqdm says the same beside a bar, which is of no use in a log.
"""

import time


class Pace:
    """A clock that is started where work begins, or goes on."""

    def __init__(self, done: int = 0) -> None:
        """Start the clock; `done` is what was there before."""
        self._before = done
        self._started = time.monotonic()

    def words(self, done: int, total: int, unit: str = "step") -> str:
        """Return seconds a unit and seconds left; "" as long as nothing was done.

        >>> Pace(done=3).words(3, 10)
        ''
        """
        if done <= self._before:
            return ""
        seconds = (time.monotonic() - self._started) / (done - self._before)
        return f"{seconds:.2f} s/{unit}, {seconds * (total - done):.0f} s left"
