"""Statistics of the rollouts of one step, and a table of samples: pure functions of the records of `rollouts.jsonl`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

Rollout = Mapping[str, Any]

NUM_SHOWN = 4
"""Number of rollouts with the highest, and with the lowest, rewards in a table of samples."""
_SHOWN = ("step", "id", "kind", "response", "reward", "advantage", "completion_tokens", "origin")
_EQUAL = 1e-6
"""Rewards with a smaller difference count as equal, because of rounding in float32."""


def has_spread(rewards: Sequence[float | None]) -> bool:
    """Whether the rewards of a group differ; only then it has advantages.

    >>> has_spread([0.5, 0.7, None]), has_spread([0.5, 0.5]), has_spread([0.5, None])
    (True, False, False)
    """
    known = [reward for reward in rewards if reward is not None]
    return len(known) > 1 and max(known) - min(known) > _EQUAL


def groups_of(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Cut a batch into its groups.

    >>> groups_of([1, 2, 3, 4], 2)
    [[1, 2], [3, 4]]
    """
    return [values[start : start + size] for start in range(0, len(values), size)]


def step_metrics(rollouts: Sequence[Rollout], group_size: int, codes: Iterable[str] = ()) -> dict[str, float]:
    """Return the numbers of a step, named `rollouts/...`.

    Args:
        rollouts: rollouts of all processes, group by group.
        group_size: responses to a prompt.
        codes: diagnostics to count even if there are none.
    """
    rewards = [rollout["reward"] for rollout in rollouts]
    known = [reward for reward in rewards if reward is not None]
    lengths = [rollout["completion_tokens"] for rollout in rollouts]
    groups = groups_of(rewards, group_size)
    found = Counter(dict.fromkeys(codes, 0))
    found.update(each["code"] for rollout in rollouts for each in rollout["diagnostics"])
    numbers = {
        "unscored": fmean(reward is None for reward in rewards),
        "zero_spread": fmean(not has_spread(group) for group in groups),
        "tokens/mean": fmean(lengths),
        "tokens/max": max(lengths),
        "truncated": fmean(rollout["is_truncated"] for rollout in rollouts),
        "corrected": fmean(rollout["origin"] == "correction" for rollout in rollouts),
    }
    if known:
        numbers |= {"reward/mean": fmean(known), "reward/std": pstdev(known)}
        numbers |= {"reward/min": min(known), "reward/max": max(known)}
    numbers |= {f"diagnostics/{code}": count for code, count in found.items()}
    numbers |= {f"components/{name}": mean for name, mean in _component_means(rollouts).items()}
    if "components/refusal" in numbers:
        numbers["refusal_rate"] = numbers["components/refusal"]
    return {f"rollouts/{name}": float(value) for name, value in numbers.items()}


def samples_table(rollouts: Sequence[Rollout]) -> dict[str, list[Any]]:
    """Return the rollouts with the highest and the lowest rewards as columns."""
    known = sorted((each for each in rollouts if each["reward"] is not None), key=lambda each: -each["reward"])
    shown = known if len(known) <= 2 * NUM_SHOWN else [*known[:NUM_SHOWN], *known[-NUM_SHOWN:]]
    columns = {name: [each.get(name) for each in shown] for name in _SHOWN}
    return columns | {"diagnostics": [" ".join(found["code"] for found in each["diagnostics"]) for each in shown]}


def _component_means(rollouts: Sequence[Rollout]) -> dict[str, float]:
    names = dict.fromkeys(name for rollout in rollouts for name in rollout["components"])
    means = {}
    for name in names:
        values = [rollout["components"].get(name) for rollout in rollouts]
        if known := [value for value in values if isinstance(value, (int, float))]:
            means[name] = fmean(known)
    return means
