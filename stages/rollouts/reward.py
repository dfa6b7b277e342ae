"""GRPO rewards in the form TRL calls: a thin adapter over the presets of `eval/presets`, which hold what is paid for.

What is trained is what is reported: response, verdict and scores come from the code that evaluates checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.judges import Judge, RuleJudge
from eval.presets import Graded, Reward, find_preset, grade_all
from eval.scores.response import Score, Unscored
from protocol.errors import UserError
from stages.arguments.judge import items_of_batch
from stages.arguments.stage import GRPOArguments, StageArguments
from stages.errors import StageError
from stages.rollouts.guarded_reward import DIAGNOSTICS

RewardFunction = Callable[..., list[float | None]]
LogExtra = Callable[[str, list[Any]], None]


def build_reward(preset: str, judge: Judge | None = None, weights: Any = None) -> RewardFunction:
    """Return the reward function of a preset, with TRL's signature.

    It reads the columns `plan` (canonical JSON text), `labels` (a JSON object) and, where there is one, `query` (the
    user's words). As extra columns of the completions it logs every score under its name, every component of the
    reward as `PRESET/COMPONENT`, and as `diagnostics` the faults of the response. What could not be judged earns None,
    which TRL leaves out of the group.

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

    def reward(*, completions: Sequence[Any], log_extra: LogExtra, **columns: Any) -> list[float | None]:
        graded = grade_all(items_of_batch(completions, columns), judged_by)
        rewards = [chosen.reward(each, weights) for each in graded]
        _log_columns([_columns(preset, *each) for each in zip(graded, rewards, strict=True)], log_extra)
        log_extra(DIAGNOSTICS, [[found.to_json() for found in each.verdict.diagnostics] for each in graded])
        return [_number(each.total) for each in rewards]

    reward.__name__ = preset
    return reward


def reward_of(arguments: StageArguments) -> RewardFunction | None:
    """Return the reward that a stage's arguments name, with the rule judge; None where a stage has none.

    Raises:
        StageError: there is no such preset, or a weight is out of bounds.
    """
    return build_reward(arguments.reward, weights=arguments) if isinstance(arguments, GRPOArguments) else None


def _columns(preset: str, graded: Graded, reward: Reward) -> dict[str, float | None]:
    components = {f"{preset}/{name}": score for name, score in reward.components.items()}
    return {name: _number(score) for name, score in {**graded.scores, **components}.items()}


def _log_columns(rows: Sequence[Mapping[str, float | None]], log_extra: LogExtra) -> None:
    for name in rows[0] if rows else ():
        log_extra(name, [row[name] for row in rows])


def _number(score: Score) -> float | None:
    return None if isinstance(score, Unscored) else score
