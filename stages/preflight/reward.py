"""Calls GRPO's reward on typical responses, and checks that it returns numbers."""

import math
from collections.abc import Sequence

from data.rows import RolloutPrompt
from eval.judges import Item
from protocol import Plan
from stages.preflight.findings import Finding, Section
from stages.rollouts.reward import RewardFunction

NUM_PROMPTS = 4
RESPONSES = ("", "I would rather not say.", "<thinking>\n</thinking>\n<answer>\nYes.\n</answer>")
"""Typical responses of an untrained policy: nothing, an answer without a trace, blocks without calls."""


def reward_section(rows: Sequence[RolloutPrompt], preset: str, reward: RewardFunction) -> Section:
    """Call a reward on some prompts, without their pictures.

    Args:
        rows: the prompts; only the first few are used.
        preset: name of the reward in the recipe.
        reward: the reward function.
    """
    items = [
        Item.of(text, Plan.from_json(row.plan), row.labels, row.query)
        for row in rows[:NUM_PROMPTS]
        for text in RESPONSES
    ]
    try:
        rewards = [judged.reward for judged in reward(items)]
    except Exception as error:  # noqa: BLE001 - whatever a reward raises would end the run
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Section("reward", (Finding("fails", preset, f"raises {type(error).__name__}: {reason}"),))
    return Section("reward", (_judge(preset, rewards, len(items)),))


def _judge(preset: str, rewards: Sequence[float | None], num_expected: int) -> Finding:
    known = [reward for reward in rewards if reward is not None]
    if len(rewards) != num_expected:
        return Finding("fails", preset, f"{len(rewards)} rewards for {num_expected} responses")
    if not known:
        return Finding(
            "fails",
            preset,
            f"none of {len(rewards)} responses was scored",
            "check that the judge answers and the rows have labels",
        )
    if not all(math.isfinite(reward) for reward in known):
        return Finding("fails", preset, "a reward is not a finite number")
    found = f"{len(rewards)} responses without a trace earn {min(known):.2f} to {max(known):.2f}"
    if len(known) < len(rewards):
        return Finding("warning", preset, f"{found}; {len(rewards) - len(known)} were not scored")
    return Finding("ok", preset, found)
