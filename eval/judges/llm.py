"""The LLM judge: a chat model behind any OpenAI-compatible endpoint grades by the rubric.

It sees the query, its pictures and the response, but never the labels. If a reply is not a verdict, the response is
unscored with the reason. If too many responses are unscored, judging stops; the verdicts so far are in the cache.

Needs the extra `judge` (`pip install '.[judge]'`).
"""

import threading
from collections.abc import Sequence

from eval.judges.judgement import Item, Judge, Judgement
from eval.judges.questions import LLMJudgeSettings, Questions
from eval.judges.rubrics import messages, verdict_schema
from eval.judges.tally import JudgeTally
from eval.judges.verdicts import to_judgement, unscored
from eval.scores.response import Unscored
from toolkit.chat.cache import question_key
from toolkit.chat.loop import LoopThread

__all__ = ["LLMJudge", "LLMJudgeSettings"]


class LLMJudge(Judge):
    """Asks a model for each verdict; may be used from several threads, and inside a running event loop."""

    def __init__(self, settings: LLMJudgeSettings) -> None:
        """Open the cache; the first request is sent when there is something to judge.

        Raises:
            JudgeError: the address is not valid, or the cache cannot be used.
        """
        self.settings = settings
        self.tally = JudgeTally()
        self._lock = threading.Lock()
        self._open: tuple[LoopThread, Questions] | None = None
        self._opened()

    def judge(self, item: Item) -> Judgement:
        """Judge one response."""
        return self.judge_all([item])[0]

    def judge_all(self, items: Sequence[Item]) -> list[Judgement]:
        """Judge a batch: its distinct questions concurrently, and each one once.

        Raises:
            JudgeError: too many are unscored, or no request can succeed; the verdicts so far are in the cache.
            ValueError: an item lacks its query, or has an unusable picture.
        """
        keys = [self._key(item) for item in items]
        loop, questions = self._opened()
        outcomes = loop.run(questions.answer_all(dict(zip(keys, items, strict=True))))
        judgements = []
        for key in keys:
            outcome = outcomes[key]
            judgements.append(unscored(outcome) if isinstance(outcome, Unscored) else to_judgement(outcome))
        with self._lock:
            self.tally.count(judgements)
        return judgements

    def report(self) -> list[str]:
        """Return the counts, and the reasons of unscored responses."""
        endpoint = self._opened()[1].endpoint
        return [
            f"judge: {endpoint.name}",
            *self.tally.describe(),
            *(f"judge: {each}" for each in endpoint.refused.changes),
        ]

    def close(self) -> None:
        """Close connections and cache."""
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            loop, questions = opened
            loop.run(questions.close())
            loop.close()

    def _opened(self) -> tuple[LoopThread, Questions]:
        with self._lock:
            if self._open is None:
                questions = Questions(self.settings, self.tally)
                self._open = LoopThread(), questions
            return self._open

    def _key(self, item: Item) -> str:
        """Return the identity of a question: the whole request, but not the address of the server."""
        return question_key(
            model=self.settings.model,
            messages=messages(item),
            schema=verdict_schema(),
            sampling=self.settings.sampling(),
        )
