"""Records GRPO's rollouts: every response of the training, with its reward and the reasons, in `rollouts.jsonl`.

TRL keeps only the last batch of a logging step. The record is itself the reward function for TRL: it keeps its
judgements until the advantages are known, writes both, and sends the numbers of each step to the tracking store.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object

from eval.judges import Item
from protocol import Labels, Plan
from stages.rollouts.guarded_reward import GuardedReward
from stages.rollouts.record.files import RolloutFiles
from stages.rollouts.record.stats import samples_table, step_metrics
from stages.rollouts.reward import Judged
from stages.tracking.run import Run

_COPIED = ("id", "query_id", "kind", "plan", "labels")
_ROW = (*_COPIED, "query", "images")
"""Columns of a row that are needed to judge and record a response."""
MEBIBYTE = 2**20


class RolloutLog:
    """The reward function for TRL, and the only place that uses TRL's columns. It records all judgements."""

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
            path: the newest file of the record.
            reward: the guarded reward.
            group_size: responses to a prompt.
            first_step: the step at which training continues; rollouts of later steps come from an interrupted run and
                are dropped.
            max_bytes: from this size, a file is renamed.
            run: run for numbers and tables; None for no tracking.
            table_every: steps between two tables of samples.
        """
        self.__name__ = getattr(reward.reward, "__name__", "reward")  # name of the reward in TRL's logs
        self.reward = reward
        self.group_size = group_size
        self.run = run
        self.table_every = table_every
        self._next_table = first_step
        self._files = RolloutFiles(path, max_bytes)
        self._pending: list[dict[str, Any]] = []
        self._known: dict[tuple[Any, ...], Judged] = {}
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
        """Judge the completions of one generation batch, in TRL's interface of columns.

        Args:
            completions: conversations of one message each.
            completion_ids: their tokens.
            log_extra: adds a column to TRL's logged table.
            columns: columns of the data set (`stages/inputs/columns.py`), and TRL's arguments for every reward.

        Raises:
            StageError: too many could not be judged.
        """
        texts = [completion[0]["content"] for completion in completions]
        names = [name for name in _ROW if name in columns]
        rows = [{name: columns[name][place] for name in names} for place in range(len(texts))]
        found = self.judge(rows, texts, completion_ids)
        for name in dict.fromkeys(name for judged in found for name in judged.components):
            log_extra(name, [judged.components.get(name) for judged in found])
        self._pending += [
            {name: row[name] for name in _COPIED if name in row}
            | {"response": text, "completion_tokens": len(ids), "last_token": ids[-1] if len(ids) else None}
            | {"reward": judged.reward, "components": dict(judged.components)}
            | {"diagnostics": list(judged.diagnostics)}
            for row, text, ids, judged in zip(rows, texts, completion_ids, found, strict=True)
        ]
        return [judged.reward for judged in found]

    def judge(
        self, rows: Sequence[Mapping[str, Any]], texts: Sequence[str], completion_ids: Sequence[Sequence[int]]
    ) -> list[Judged]:
        """Judge responses to rows of the data set; those that were judged since the last batch are not judged again.

        Args:
            rows: the row of each response.
            texts: the decoded responses.
            completion_ids: their tokens.

        Raises:
            StageError: too many could not be judged.
        """
        keys = [(row["id"], len(ids), text) for row, ids, text in zip(rows, completion_ids, texts, strict=True)]
        missing = [place for place, key in enumerate(keys) if key not in self._known]
        if missing:
            items = [_item(rows[place], texts[place]) for place in missing]
            judged = self.reward.judge(items, [completion_ids[place] for place in missing])
            self._known |= {keys[place]: each for place, each in zip(missing, judged, strict=True)}
        return [self._known[key] for key in keys]

    @property
    def pending_rewards(self) -> list[float | None]:
        """The rewards of the batch that is not recorded yet."""
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
        """Record the rollouts that were judged last, and track their numbers.

        Args:
            step: the step of their sampling.
            advantages: the advantage of each rollout.
            prompt_tokens: the prompt tokens of each rollout, with expanded images.
            end_ids: the tokens that end a complete response.
            notes: further fields of each rollout, such as `origin`.
            numbers: further numbers to track, summed over processes.
        """
        rollouts = []
        for place, (rollout, advantage) in enumerate(zip(self._pending, advantages, strict=True)):
            is_truncated = rollout.pop("last_token") not in end_ids
            tokens = {"prompt_tokens": prompt_tokens[place]} if prompt_tokens is not None else {}
            note = {"origin": "policy"} | dict(notes[place] if notes else {})
            rollouts.append(
                {"step": step} | rollout | tokens | {"is_truncated": is_truncated, "advantage": advantage} | note
            )
        self._pending, self._known = [], {}
        own = {"rollouts/reward_errors": float(self.reward.failures.total())} | dict(numbers or {})
        rollouts, all_numbers = gather_object(rollouts), gather_object([own])
        if PartialState().is_main_process:
            self._files.append(rollouts)
            self._track(step, rollouts, all_numbers)

    def _track(self, step: int, rollouts: Sequence[dict[str, Any]], numbers: Sequence[Mapping[str, float]]) -> None:
        self._codes |= dict.fromkeys(found["code"] for rollout in rollouts for found in rollout["diagnostics"])
        if self.run is None:
            return
        summed = {name: sum(each[name] for each in numbers) for name in numbers[0]}
        self.run.log_metrics(step_metrics(rollouts, self.group_size, self._codes) | summed, step)
        if step >= self._next_table:
            self._next_table = step + self.table_every
            self.run.log_table(samples_table(rollouts), "rollouts.json")


def _item(row: Mapping[str, Any], text: str) -> Item:
    """Return the item to judge for a response to a row."""
    pictures = partial(_as_png, tuple(row.get("images") or ()))
    return Item.of(text, Plan.from_json(row["plan"]), Labels.from_json(row["labels"]), row.get("query"), pictures)


def _as_png(pictures: Iterable[Any]) -> tuple[bytes, ...]:
    files = []
    for picture in pictures:
        with BytesIO() as file:
            picture.save(file, format="PNG")
            files.append(file.getvalue())
    return tuple(files)
