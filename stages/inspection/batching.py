"""Collects single questions into batches: Inspect asks one sample at a time, but a GPU is faster with batches."""

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class _Asked(Generic[QuestionT, AnswerT]):
    question: QuestionT
    group: Hashable
    answer: "Future[AnswerT]" = field(default_factory=Future)


class Batcher(Generic[QuestionT, AnswerT]):
    """Collects questions of the same group; one thread answers them together."""

    def __init__(
        self,
        answer_all: Callable[[Hashable, Sequence[QuestionT]], Sequence[AnswerT]],
        *,
        size: int,
        patience_seconds: float = 0.2,
    ) -> None:
        """Start the thread.

        Args:
            answer_all: answers the questions of a group, in order.
            size: most questions answered together.
            patience_seconds: how long a batch that is not full waits for the next question.
        """
        self._answer_all = answer_all
        self._size = size
        self._patience_seconds = patience_seconds
        self._queue: queue.Queue[_Asked[QuestionT, AnswerT] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def ask(self, question: QuestionT, group: Hashable = None) -> "Future[AnswerT]":
        """Return the future answer; it holds the error if the batch failed."""
        asked: _Asked[QuestionT, AnswerT] = _Asked(question, group)
        self._queue.put(asked)
        return asked.answer

    def close(self) -> None:
        """Answer the pending questions, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._next_batch()
            groups: dict[Hashable, list[_Asked[QuestionT, AnswerT]]] = {}
            for asked in batch:
                groups.setdefault(asked.group, []).append(asked)
            for group, members in groups.items():
                self._answer(group, members)

    def _next_batch(self) -> tuple[list[_Asked[QuestionT, AnswerT]], bool]:
        first = self._queue.get()
        if first is None:
            return [], False
        batch = [first]
        while len(batch) < self._size:
            try:
                asked = self._queue.get(timeout=self._patience_seconds)
            except queue.Empty:
                break
            if asked is None:
                return batch, False
            batch.append(asked)
        return batch, True

    def _answer(self, group: Hashable, members: Sequence[_Asked[QuestionT, AnswerT]]) -> None:
        try:
            answers = self._answer_all(group, [asked.question for asked in members])
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and the thread lives on
            for asked in members:
                asked.answer.set_exception(error)
            return
        for asked, answer in zip(members, answers, strict=True):
            asked.answer.set_result(answer)
