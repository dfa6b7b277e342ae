"""The type of a reward preset, and the registry: a preset maps a graded response to a total and its components.

Each preset decides itself how it reads a response. Its weights are a frozen dataclass of numbers. Their names begin
with the preset's name, because a recipe holds the weights of all presets as keys.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from eval.grading import score_items
from eval.judges import Item, Judge
from eval.scores.response import Score
from protocol import Labels, Plan, Verdict
from protocol.errors import UserError
from protocol.nearest import nearest


@dataclass(frozen=True, slots=True)
class Graded:
    """A response with its verdict, labels and scores."""

    verdict: Verdict
    labels: Labels
    scores: Mapping[str, Score]
    """Every score by name, including the judge's (`eval/grading.py`)."""

    @property
    def text(self) -> str:
        """The text of the response; lone surrogates are replaced with U+FFFD."""
        return self.verdict.reading.text


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of a response and its components."""

    total: Score
    """In [0, 1] with the default weights; unscored if a deciding component could not be judged."""
    components: Mapping[str, Score]
    """Every component by name; the names are the same for every response."""


Grade = Callable[[Graded, Any], Reward]


@dataclass(frozen=True, slots=True)
class Preset:
    """A named reward."""

    name: str
    """Such as "safer-toolkit"."""
    about: str
    """What it rewards, in one sentence."""
    weights: type[Any]
    """Dataclass of its weights; every field has a default."""
    grade: Grade

    def reward(self, graded: Graded, weights: Any = None) -> Reward:
        """Return the reward of a response.

        Args:
            graded: the response.
            weights: an object with the fields of `self.weights`, such as a recipe; None means the defaults.
        """
        return self.grade(graded, self.weights() if weights is None else weights)

    def unfit(self, weights: Any) -> list[str]:
        """Return the weights that are not a number from 0 to 1, as messages."""
        problems = []
        for option in fields(self.weights):
            value = getattr(weights, option.name)
            if not 0 <= value <= 1:
                problems.append(f"{option.name}: expected a number from 0 to 1, found {value}")
        return problems


PRESETS: dict[str, Preset] = {}


def preset(name: str, weights: type[Any]) -> Callable[[Grade], Grade]:
    """Register a preset; the first line of the function's docstring is its description."""

    def register(grade: Grade) -> Grade:
        PRESETS[name] = Preset(name, (grade.__doc__ or "").split("\n")[0], weights, grade)
        return grade

    return register


def find_preset(name: str) -> Preset:
    """Return a preset.

    Raises:
        UserError: no preset has that name; the message lists the presets.
    """
    if name not in PRESETS:
        hint = nearest(name, PRESETS)
        known = f"known are {', '.join(PRESETS)}"
        raise UserError(f"reward: there is no preset {name!r}; {f'{hint} {known}' if hint else known}")
    return PRESETS[name]


def grade_all(items: Sequence[Item], judge: Judge) -> list[Graded]:
    """Return graded responses: with verdicts and all scores."""
    scored = score_items(items, judge)
    return [Graded(item.verdict, item.labels, scores) for item, scores in zip(items, scored, strict=True)]


def grade(text: str, plan: Plan, labels: Labels, judge: Judge, query: str | None = None) -> Graded:
    """Return a graded response: with its verdict and all scores."""
    return grade_all([Item.of(text, plan, labels, query)], judge)[0]
