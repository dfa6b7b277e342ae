"""A dry call of GRPO's reward: does it answer, in numbers, for responses as a policy may write them?"""

import math
from collections.abc import Sequence

from data.rows import RolloutPrompt
from stages.preflight.findings import Finding, Section
from stages.rollouts.guarded_reward import Reward

NUM_PROMPTS = 4
RESPONSES = ("", "I would rather not say.", "<thinking>\n</thinking>\n<answer>\nYes.\n</answer>")
"""No trace, an answer alone, blocks without calls: what an untrained policy may write."""


def reward_section(rows: Sequence[RolloutPrompt], preset: str, reward: Reward) -> Section:
    """Call a reward on some prompts; pictures are left out.

    Args:
        rows: the prompts; the first few are taken.
        preset: what the recipe names it.
        reward: what is trained with.
    """
    prompts = [row for row in rows[:NUM_PROMPTS] for _ in RESPONSES]
    completions = [[{"role": "assistant", "content": text}] for _ in rows[:NUM_PROMPTS] for text in RESPONSES]
    try:
        rewards = reward(
            prompts=[list(row.prompt) for row in prompts],
            completions=completions,
            completion_ids=[[0]] * len(prompts),
            plan=[row.plan for row in prompts],
            labels=[row.labels.to_json() for row in prompts],
            query=[row.query for row in prompts],
            log_extra=lambda _name, _values: None,
        )
    except Exception as error:  # noqa: BLE001 - whatever a reward raises would end the run
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Section("reward", (Finding("fails", preset, f"raises {type(error).__name__}: {reason}"),))
    return Section("reward", (_judge(preset, rewards, len(prompts)),))


def _judge(preset: str, rewards: Sequence[float | None], num_expected: int) -> Finding:
    known = [reward for reward in rewards if reward is not None]
    if len(rewards) != num_expected:
        return Finding("fails", preset, f"{len(rewards)} rewards for {num_expected} responses")
    if not known:
        return Finding(
            "fails",
            preset,
            f"none of {len(rewards)} responses was scored",
            "see whether the judge answers and the rows have labels",
        )
    if not all(math.isfinite(reward) for reward in known):
        return Finding("fails", preset, "a reward is not a finite number")
    found = f"{len(rewards)} responses without a trace earn {min(known):.2f} to {max(known):.2f}"
    if len(known) < len(rewards):
        return Finding("warning", preset, f"{found}; {len(rewards) - len(known)} were not scored")
    return Finding("ok", preset, found)
