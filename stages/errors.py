"""The error for a user's mistake in a stage. It lists all problems at once, so that one round of fixing is enough."""

from collections.abc import Sequence

from protocol.errors import UserError

NO_RECIPE = (
    "`tritrace init FOLDER --data FILE --model NAME` and `tritrace fit MODEL --card GIB --write FOLDER` write recipes"
)
"""What helps where a recipe is not there."""


class StageError(UserError):
    """A recipe, its files or its parent stage is wrong; the command line prints the problems and exits with 2."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class UnchangedError(StageError):
    """Training did not change the adapter: nothing was learnt."""
