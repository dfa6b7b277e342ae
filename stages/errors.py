"""The one error a user's mistake in a stage raises: every problem at once, so that one round of fixing is enough."""

from collections.abc import Sequence

from protocol.errors import UserError


class StageError(UserError):
    """What is wrong with a recipe, its files or its parent stage; the command line prints it and exits 2."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class UnchangedError(StageError):
    """A stage was trained and came to the adapter that it started from: nothing was learnt, or nothing could be."""
