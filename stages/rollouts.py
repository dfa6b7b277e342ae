"""The record of GRPO's rollouts: every response that was sampled, what it was worth and why, in `rollouts.jsonl`.

TRL keeps only the last batch of a logging step. The record also watches how many rollouts go unscored, so that a judge
that is down stops the stage instead of training it on what is left.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object

from data.files import replacing
from stages.errors import StageError

MIN_JUDGED = 64
"""So many rollouts are waited for before the share of unscored ones means anything."""

Reward = Callable[..., Sequence[float | None]]


class RolloutLog:
    """A reward function that remembers what it judged until the advantages are known, and then writes both."""

    def __init__(self, path: Path, reward: Reward, *, max_unscored: float, first_step: int = 0) -> None:
        """Open the record.

        Args:
            path: the record.
            reward: with TRL's signature; its `log_extra` columns become the components of a rollout.
            max_unscored: share of rollouts that may be None before the stage stops.
            first_step: the step that training is taken up at; later rollouts are of an abandoned run and are dropped.
        """
        self.__name__ = getattr(reward, "__name__", "reward")  # what TRL calls the reward in its logs
        self.path = path
        self.reward = reward
        self.max_unscored = max_unscored
        self.num_judged = 0
        self.num_unscored = 0
        self._pending: list[dict[str, Any]] = []
        if PartialState().is_main_process:
            _keep_before(path, first_step)

    def __call__(
        self, *, completions: Sequence[Any], log_extra: Callable[..., None], **columns: Any
    ) -> list[float | None]:
        """Judge completions as TRL asks for it.

        Raises:
            StageError: more rollouts than `max_unscored` could not be judged.
        """
        components: dict[str, list[Any]] = {}

        def record(name: str, values: Sequence[Any]) -> None:
            components[name] = list(values)
            log_extra(name, list(values))

        rewards = list(self.reward(completions=completions, log_extra=record, **columns))
        for index, reward in enumerate(rewards):
            self._pending.append(
                {name: columns[name][index] for name in ("id", "query_id", "kind", "plan", "labels") if name in columns}
                | {"response": completions[index][0]["content"], "reward": reward}
                | {"components": {name: values[index] for name, values in components.items()}}
            )
        self._watch(rewards)
        return rewards

    def write(self, step: int, advantages: Sequence[float]) -> None:
        """Append the rollouts judged last, with the step they were sampled at and their advantages."""
        rollouts = [
            {"step": step} | rollout | {"advantage": advantage}
            for rollout, advantage in zip(self._pending, advantages, strict=True)
        ]
        self._pending.clear()
        rollouts = gather_object(rollouts)
        if PartialState().is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(rollout, ensure_ascii=False) + "\n" for rollout in rollouts)

    def _watch(self, rewards: Sequence[float | None]) -> None:
        self.num_judged += len(rewards)
        self.num_unscored += sum(reward is None for reward in rewards)
        if self.num_judged >= MIN_JUDGED and self.num_unscored > self.max_unscored * self.num_judged:
            raise StageError(
                f"grpo: {self.num_unscored} of {self.num_judged} rollouts could not be scored, more than max_unscored "
                f"({self.max_unscored:g}) allows; see what the judge reports, then run the same command again"
            )


def _keep_before(path: Path, step: int) -> None:
    """Drop the rollouts of a step and later ones, so that a resumed record equals an uninterrupted one."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        rollout = _parsed(line)
        if rollout is not None and rollout["step"] < step:
            kept.append(line + "\n")
    with replacing(path) as file:
        file.writelines(kept)


def _parsed(line: str) -> Mapping[str, Any] | None:
    try:
        return dict(json.loads(line))
    except ValueError:  # the line that an interruption cut
        return None
