"""Guards a reward function: one failing response does not end the run, but too many failures do.

If the reward raises for a response, or is not a finite number, the response is unscored: it has no advantage, and it is
counted and reported. If too many of the last responses are unscored, the stage stops. Its files stay, and the same
command continues.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from trl.rewards import get_soft_overlong_punishment

from eval.judges import Item
from protocol.errors import UserError
from stages.errors import StageError
from stages.progress import say
from stages.rollouts.reward import Judged, RewardFunction

MIN_JUDGED = 64
"""Minimum number of responses before the share of unscored ones is checked."""
WINDOW = 256
"""Number of last responses in the check."""


class GuardedReward:
    """A reward whose errors are contained and counted, with an optional penalty on length."""

    def __init__(
        self, reward: RewardFunction, *, max_unscored: float, max_completion_length: int = 0, overlong_window: int = 0
    ) -> None:
        """Prepare the counts.

        Args:
            reward: the reward function.
            max_unscored: maximum unscored share of the last `WINDOW` responses.
            max_completion_length: maximum tokens of a completion.
            overlong_window: length of the soft penalty window before that limit (DAPO), in tokens; 0 disables it.
        """
        self.reward = reward
        self.max_unscored = max_unscored
        self.failures: Counter[str] = Counter()
        """Error -> number of responses for which the reward failed with it."""
        self._penalty = (
            get_soft_overlong_punishment(max_completion_length, overlong_window) if overlong_window else None
        )
        self._last: deque[bool] = deque(maxlen=WINDOW)

    def judge(self, items: Sequence[Item], completion_ids: Sequence[Sequence[int]]) -> list[Judged]:
        """Judge responses together; if this fails, judge them one by one.

        Args:
            items: the responses.
            completion_ids: their tokens; only their numbers are used.

        Raises:
            StageError: too many of the last responses could not be judged.
            UserError: the reward reports that it cannot continue.
        """
        found = self._together(items)
        if self._penalty is not None:
            penalties = self._penalty(completion_ids)
            found = [_penalised(each, penalty) for each, penalty in zip(found, penalties, strict=True)]
        self._watch(found)
        return found

    def report(self) -> list[str]:
        """Return the errors of the reward as lines; [] if there are none."""
        return [f"reward: unscored {count} times: {reason}" for reason, count in self.failures.most_common(5)]

    def _together(self, items: Sequence[Item]) -> list[Judged]:
        if len(items) > 1:
            try:
                return self._paid(items)
            except UserError:
                raise
            except Exception:  # noqa: BLE001, S110 - which response it is about shows when each is judged alone
                pass
        return [self._alone(each) for each in items]

    def _alone(self, item: Item) -> Judged:
        try:
            return self._paid([item])[0]
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a reward raises, the rollouts are worth more
            self._note(f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}")
            return Judged(None)

    def _paid(self, items: Sequence[Item]) -> list[Judged]:
        found = self.reward(items)
        if len(found) != len(items):
            raise ValueError(f"{len(found)} rewards for {len(items)} responses")
        return [self._finite(each) for each in found]

    def _finite(self, judged: Judged) -> Judged:
        if judged.reward is None or math.isfinite(judged.reward):
            return judged
        self._note("the reward is not a finite number")
        return replace(judged, reward=None)

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
        return f"most often ({count} times) the reward failed with {reason}; fix it"


def _penalised(judged: Judged, penalty: float) -> Judged:
    # Not a separate reward function: TRL adds rewards up, and an unscored response would get only the penalty.
    reward = None if judged.reward is None else judged.reward + penalty
    return replace(judged, reward=reward, components={**judged.components, "overlong": penalty})
