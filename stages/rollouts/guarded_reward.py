"""A reward function that cannot end a run by one completion, and ends it when it is of no use any more.

What raises, or is no finite number, is unscored: those completions have no advantage, are counted and told. When too
many of the last completions are unscored, the stage stops; what was written stays, and the same command goes on.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trl.rewards import get_soft_overlong_punishment

from protocol.errors import UserError
from stages.errors import StageError
from stages.progress import say

MIN_JUDGED = 64
"""So many completions are waited for before the share of unscored ones means anything."""
WINDOW = 256
"""Completions looked back on."""
DIAGNOSTICS = "diagnostics"
"""The column of `log_extra` that is no component of a reward but the faults of a response."""

Reward = Callable[..., Sequence[float | None]]
"""With TRL's signature; `log_extra` columns become components, but for `DIAGNOSTICS`."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a completion is worth, and why."""

    reward: float | None
    """None is unscored."""
    components: dict[str, Any] = field(default_factory=dict)
    diagnostics: tuple[dict[str, Any], ...] = ()
    """As `Diagnostic.to_json` writes them; () also where the reward names none."""


class GuardedReward:
    """A reward, contained and watched, with a penalty on length where one is asked for."""

    def __init__(
        self, reward: Reward, *, max_unscored: float, max_completion_length: int = 0, overlong_window: int = 0
    ) -> None:
        """Watch from now on.

        Args:
            reward: what is paid.
            max_unscored: share of the last `WINDOW` completions that may be unscored.
            max_completion_length: tokens of the longest completion.
            overlong_window: its last so many tokens cost up to a point; 0 is no penalty.
        """
        self.reward = reward
        self.max_unscored = max_unscored
        self.failures: Counter[str] = Counter()
        """Completions that the reward failed on, by what it raised."""
        self._penalty = (
            get_soft_overlong_punishment(max_completion_length, overlong_window) if overlong_window else None
        )
        self._last: deque[bool] = deque(maxlen=WINDOW)

    def judge(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], columns: Mapping[str, Any]
    ) -> list[Judged]:
        """Judge completions together; those that this fails on, one by one.

        Args:
            completions: a conversation of one message each.
            completion_ids: their tokens.
            columns: lists as long, and what TRL hands to every reward.

        Raises:
            StageError: too many of the last completions could not be judged.
            UserError: the reward says that it cannot go on.
        """
        found = self._judge(completions, completion_ids, columns)
        if self._penalty is not None:
            penalties = self._penalty(completion_ids)
            found = [_penalised(each, penalty) for each, penalty in zip(found, penalties, strict=True)]
        self._watch(found)
        return found

    def report(self) -> list[str]:
        """Return what the reward failed on, as lines; [] for nothing."""
        return [f"reward: unscored {count} times: {reason}" for reason, count in self.failures.most_common(5)]

    def _judge(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], columns: Mapping[str, Any]
    ) -> list[Judged]:
        try:
            return self._asked(completions, completion_ids, columns)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a reward raises, the rollouts are worth more
            if len(completions) == 1:
                self._note(f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}")
                return [Judged(None)]
        alone = [
            ([each], [ids], {name: picked(values, [place], len(completions)) for name, values in columns.items()})
            for place, (each, ids) in enumerate(zip(completions, completion_ids, strict=True))
        ]
        return [self._judge(*one)[0] for one in alone]

    def _asked(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], columns: Mapping[str, Any]
    ) -> list[Judged]:
        logged: dict[str, list[Any]] = {}

        def record(name: str, values: Sequence[Any]) -> None:
            logged[name] = list(values)

        rewards = list(self.reward(completions=completions, completion_ids=completion_ids, log_extra=record, **columns))
        if any(len(values) != len(completions) for values in (rewards, *logged.values())):
            raise ValueError(f"{len(rewards)} rewards for {len(completions)} completions")
        faults = logged.pop(DIAGNOSTICS, [()] * len(rewards))
        return [
            Judged(self._finite(reward), {name: values[place] for name, values in logged.items()}, tuple(faults[place]))
            for place, reward in enumerate(rewards)
        ]

    def _finite(self, reward: float | None) -> float | None:
        if reward is None or math.isfinite(reward):
            return None if reward is None else float(reward)
        self._note("the reward is no finite number")
        return None

    def _note(self, reason: str) -> None:
        if reason not in self.failures:
            say(f"grpo: the reward failed on a completion, which stays unscored: {reason}")
        self.failures[reason] += 1

    def _watch(self, found: Sequence[Judged]) -> None:
        self._last.extend(each.reward is None for each in found)
        if len(self._last) >= MIN_JUDGED and sum(self._last) > self.max_unscored * len(self._last):
            raise StageError(
                f"grpo: {sum(self._last)} of {len(self._last)} rollouts could not be scored, more than max_unscored "
                f"({self.max_unscored:g}) allows; {self._reason()}, then run the same command again"
            )

    def _reason(self) -> str:
        if not self.failures:
            return "see what the judge reports"
        reason, count = self.failures.most_common(1)[0]
        return f"most often ({count} times) the reward failed with {reason}; mend it"


def _penalised(judged: Judged, penalty: float) -> Judged:
    # Not a reward function of its own: TRL adds rewards up, and an unscored completion would earn its penalty alone.
    reward = None if judged.reward is None else judged.reward + penalty
    return Judged(reward, judged.components | {"overlong": penalty}, judged.diagnostics)


def picked(values: Any, places: Sequence[int], count: int) -> Any:
    """Return some places of a column of so many completions; what is no column is for all."""
    return [values[place] for place in places] if isinstance(values, (list, tuple)) and len(values) == count else values
