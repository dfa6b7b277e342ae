"""What GRPO pays for: responses in, a `Judged` each out, over the presets of `eval/presets`.

What is trained is what is reported: response, verdict and scores come from the code that evaluates checkpoints. TRL's
columns are for `log.py`, which calls this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.judges import Item, Judge, RuleJudge
from eval.presets import Graded, Preset, find_preset, grade_all
from eval.scores.response import Score, Unscored
from protocol.errors import UserError
from stages.arguments.stage import GRPOArguments, StageArguments
from stages.errors import StageError


@dataclass(frozen=True, slots=True)
class Judged:
    """What a response is worth, and why."""

    reward: float | None
    """None is unscored; TRL leaves it out of the group."""
    components: Mapping[str, float | None] = field(default_factory=dict)
    """What the reward is made of, by name."""
    diagnostics: tuple[dict[str, Any], ...] = ()
    """The faults of the response, as `Diagnostic.to_json` writes them; () where the reward names none."""


RewardFunction = Callable[[Sequence[Item]], list[Judged]]
"""Judges responses together and returns as many, in order."""


def build_reward(preset: str, judge: Judge | None = None, weights: Any = None) -> RewardFunction:
    """Return the reward function of a preset.

    Its components are every score under its name, and every part of the preset as `PRESET/PART`.

    Args:
        preset: its name.
        judge: of safety, helpfulness and rigor; by default the rule judge.
        weights: has the preset's weights as fields, as `GRPOArguments` does; by default the published ones.

    Raises:
        StageError: there is no such preset, or a weight is out of bounds.
    """
    try:
        chosen = find_preset(preset)
    except UserError as error:
        raise StageError(str(error)) from None
    if weights is not None and (problems := chosen.unfit(weights)):
        raise StageError(problems)
    judged_by = judge or RuleJudge()

    def reward(items: Sequence[Item]) -> list[Judged]:
        return [_paid(chosen, each, weights) for each in grade_all(items, judged_by)]

    reward.__name__ = preset
    return reward


def reward_of(arguments: StageArguments) -> RewardFunction | None:
    """Return the reward that a stage's arguments name, with the rule judge; None where a stage has none.

    Raises:
        StageError: there is no such preset, or a weight is out of bounds.
    """
    return build_reward(arguments.reward, weights=arguments) if isinstance(arguments, GRPOArguments) else None


def _paid(preset: Preset, graded: Graded, weights: Any) -> Judged:
    reward = preset.reward(graded, weights)
    parts = {f"{preset.name}/{name}": score for name, score in reward.components.items()}
    return Judged(
        _number(reward.total),
        {name: _number(score) for name, score in {**graded.scores, **parts}.items()},
        tuple(found.to_json() for found in graded.verdict.diagnostics),
    )


def _number(score: Score) -> float | None:
    return None if isinstance(score, Unscored) else score
