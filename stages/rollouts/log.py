"""The record of GRPO's rollouts: every response that was trained on, what it was worth and why, in `rollouts.jsonl`.

TRL keeps only the last batch of a logging step. The record is the reward function that TRL is given: it remembers what
it judged until the advantages are known, writes both, and sends the numbers of each step to the tracking store.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object

from stages.rollouts.files import RolloutFiles
from stages.rollouts.guarded_reward import DIAGNOSTICS, GuardedReward, Judged, picked
from stages.rollouts.stats import samples_table, step_metrics
from stages.tracking.run import Run

_COPIED = ("id", "query_id", "kind", "plan", "labels")
_NO_COLUMNS = frozenset({"prompt", "completion", "completion_ids"})
MEBIBYTE = 2**20


class RolloutLog:
    """A reward function that writes down what it judged; a response that was judged ahead is not judged again."""

    def __init__(
        self,
        path: Path,
        reward: GuardedReward,
        *,
        group_size: int,
        first_step: int = 0,
        max_bytes: int = 64 * MEBIBYTE,
        run: Run | None = None,
        table_every: int = 10,
    ) -> None:
        """Open the record.

        Args:
            path: the record's newest file.
            reward: what is paid.
            group_size: responses to a prompt.
            first_step: the step that training is taken up at; later rollouts are of an abandoned run and are dropped.
            max_bytes: size from which a file is put aside.
            run: where numbers and tables go; None for nowhere.
            table_every: steps from one table of samples to the next.
        """
        self.__name__ = getattr(reward.reward, "__name__", "reward")  # what TRL calls the reward in its logs
        self.reward = reward
        self.group_size = group_size
        self.run = run
        self.table_every = table_every
        self._next_table = first_step
        self._files = RolloutFiles(path, max_bytes)
        self._pending: list[dict[str, Any]] = []
        self._ahead: dict[tuple[Any, ...], Judged] = {}
        self._codes: dict[str, None] = {}
        if PartialState().is_main_process:
            self._files.keep_before(first_step)

    def __call__(
        self,
        *,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        log_extra: Callable[..., None],
        **columns: Any,
    ) -> list[float | None]:
        """Judge completions as TRL asks for it.

        Raises:
            StageError: too many could not be judged.
        """
        found = self._judge(completions, completion_ids, columns)
        for name in dict.fromkeys(name for judged in found for name in judged.components):
            log_extra(name, [judged.components.get(name) for judged in found])
        for place, judged in enumerate(found):
            self._pending.append(
                {name: columns[name][place] for name in _COPIED if name in columns}
                | {"response": completions[place][0]["content"], "completion_tokens": len(completion_ids[place])}
                | {"last_token": completion_ids[place][-1] if len(completion_ids[place]) else None}
                | {"reward": judged.reward, "components": judged.components, DIAGNOSTICS: list(judged.diagnostics)}
            )
        return [judged.reward for judged in found]

    def judge_ahead(
        self,
        rows: Sequence[Mapping[str, Any]],
        texts: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        shared: Mapping[str, Any],
    ) -> list[Judged]:
        """Judge responses to rows of the data set before the batch is fixed; those that enter it are judged once.

        Args:
            rows: of the data set, one a response.
            texts: the responses as decoded.
            completion_ids: their tokens.
            shared: what TRL hands to every reward beside columns.

        Raises:
            StageError: too many could not be judged.
        """
        columns = {name: [row[name] for row in rows] for name in rows[0] if name not in _NO_COLUMNS}
        completions = [[{"role": "assistant", "content": text}] for text in texts]
        return self._judge(
            completions, completion_ids, {**columns, **shared, "prompts": [row["prompt"] for row in rows]}
        )

    @property
    def pending_rewards(self) -> list[float | None]:
        """The rewards of the batch that is not written yet."""
        return [rollout["reward"] for rollout in self._pending]

    def write(
        self,
        step: int,
        advantages: Sequence[float],
        *,
        prompt_tokens: Sequence[int] | None = None,
        end_ids: Collection[int] = (),
        notes: Sequence[Mapping[str, Any]] | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        """Write the rollouts judged last, and track what they come to.

        Args:
            step: at which they were sampled.
            advantages: one each.
            prompt_tokens: one each, image tokens expanded.
            end_ids: the tokens that a whole response ends with.
            notes: how each came about, such as `origin`.
            numbers: to be tracked beside those of the rollouts, summed over processes.
        """
        rollouts = []
        for place, (rollout, advantage) in enumerate(zip(self._pending, advantages, strict=True)):
            is_truncated = rollout.pop("last_token") not in end_ids
            tokens = {"prompt_tokens": prompt_tokens[place]} if prompt_tokens is not None else {}
            note = {"origin": "policy"} | dict(notes[place] if notes else {})
            rollouts.append(
                {"step": step} | rollout | tokens | {"is_truncated": is_truncated, "advantage": advantage} | note
            )
        self._pending, self._ahead = [], {}
        own = {"rollouts/reward_errors": float(self.reward.failures.total())} | dict(numbers or {})
        rollouts, all_numbers = gather_object(rollouts), gather_object([own])
        if PartialState().is_main_process:
            self._files.append(rollouts)
            self._track(step, rollouts, all_numbers)

    def report(self) -> list[str]:
        """Return what is to be told of the rewards when training ends, as lines."""
        return self.reward.report()

    def _judge(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], columns: Mapping[str, Any]
    ) -> list[Judged]:
        keys = [
            (row_id, len(ids), completion[0]["content"])
            for row_id, ids, completion in zip(
                columns.get("id", range(len(completions))), completion_ids, completions, strict=True
            )
        ]
        missing = [place for place, key in enumerate(keys) if key not in self._ahead]
        if missing:
            judged = self.reward.judge(
                [completions[place] for place in missing],
                [completion_ids[place] for place in missing],
                {name: picked(values, missing, len(keys)) for name, values in columns.items()},
            )
            self._ahead |= {keys[place]: each for place, each in zip(missing, judged, strict=True)}
        return [self._ahead[key] for key in keys]

    def _track(self, step: int, rollouts: Sequence[dict[str, Any]], numbers: Sequence[Mapping[str, float]]) -> None:
        self._codes |= dict.fromkeys(found["code"] for rollout in rollouts for found in rollout[DIAGNOSTICS])
        if self.run is None:
            return
        summed = {name: sum(each[name] for each in numbers) for name in numbers[0]}
        self.run.log_metrics(step_metrics(rollouts, self.group_size, self._codes) | summed, step)
        if step >= self._next_table:
            self._next_table = step + self.table_every
            self.run.log_table(samples_table(rollouts), "rollouts.json")
