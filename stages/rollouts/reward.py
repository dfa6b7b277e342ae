"""The reward of GRPO: maps each response to a `Judged`, with the presets of `eval/presets`.

The reward uses the same code for verdicts and scores as the evaluation of checkpoints. `record/log.py` calls this
module and handles TRL's columns.
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
    """The reward of a response, with its reasons."""

    reward: float | None
    """None is unscored; TRL leaves the response out of the group."""
    components: Mapping[str, float | None] = field(default_factory=dict)
    """The components of the reward, by name."""
    diagnostics: tuple[dict[str, Any], ...] = ()
    """The diagnostics of the response, in the format of `Diagnostic.to_json`; () if the reward has none."""


RewardFunction = Callable[[Sequence[Item]], list[Judged]]
"""Judges responses together, and returns the results in the same order."""


def build_reward(preset: str, judge: Judge | None = None, weights: Any = None) -> RewardFunction:
    """Return the reward function of a preset.

    Its components are all scores by name, and all components of the preset as `PRESET/NAME`.

    Args:
        preset: name of the preset.
        judge: the judge of safety, helpfulness and rigor; by default the rule judge.
        weights: an object with the preset's weights as fields, such as `GRPOArguments`; by default the published ones.

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
    """Return the reward in a stage's arguments, with the rule judge; None for a stage without a reward.

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
