"""Explains why GRPO did not change the adapter, and what to do. It reads the recorded rollouts.

A step learns only from groups with different rewards. If all groups have equal rewards, every advantage is 0 and the
adapter does not change.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from stages.rollouts.record.stats import has_spread

_NO_TRACE = {"S101", "S102", "S103"}
"""Codes of a response that lacks a block, or does not close one."""
_NEARLY_ALL = 0.95
"""From this mean reward on, there is little left to learn."""


def why_unchanged(rollouts: Iterable[Mapping[str, Any]], learning_rate: float) -> str:
    """Return the reason, and a change of the recipe that helps.

    Args:
        rollouts: the records of `rollouts.jsonl`, in the order they were written.
        learning_rate: of the recipe.
    """
    found = list(rollouts)
    groups = [list(group) for _, group in groupby(found, key=lambda each: (each["step"], each.get("id")))]
    if any(has_spread([each.get("reward") for each in group]) for group in groups):
        return f"rewards differed, but learning_rate is {learning_rate:g}: set a higher one"
    equal = f"the rollouts of each prompt earned equal rewards, in all of {len(groups):,} groups"
    known = [each["reward"] for each in found if each.get("reward") is not None]
    if not known:
        return f"{equal}: none was scored; read the reasons above, and mend the judge"
    without = fmean(_lacks_a_block(each) for each in found)
    mean = f"mean {fmean(known):.2f}"
    if max(known) <= 0 and without > 0.5:
        return (
            f"{equal} ({mean}): {without:.0%} of the responses have no whole trace, so there is nothing to prefer; "
            "train SFT for longer, such as --sft.max_steps 300, and leave room for a response (max_completion_length)"
        )
    if fmean(known) >= _NEARLY_ALL:
        return (
            f"{equal} ({mean}): there is nothing left to earn from these prompts; the stage before is the result, or "
            "`tritrace data curate` finds prompts that are worth training on"
        )
    return (
        f"{equal} ({mean}): responses to one prompt are too much alike; sample more differently, such as "
        "--grpo.temperature 1.0 --grpo.num_generations 8, and set zero_spread: resample"
    )


def _lacks_a_block(rollout: Mapping[str, Any]) -> bool:
    diagnostics: Sequence[Mapping[str, Any]] = rollout.get("diagnostics") or ()
    return any(each.get("code") in _NO_TRACE for each in diagnostics)
