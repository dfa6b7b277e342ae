"""Asks a model questions and returns, for each, a cached verdict, a new one, or the reason why there is none.

The number of concurrent questions is limited. If too many of the last questions are unscored, all of them stop.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.judges.errors import JUDGE, JudgeError
from eval.judges.judgement import Item
from eval.judges.rubrics import messages, verdict_schema
from eval.judges.tally import JudgeTally
from eval.judges.verdicts import Fields, read_verdict
from eval.scores.response import Unscored
from toolkit.chat.cache import Kept, ReplyCache
from toolkit.chat.endpoint import NUM_ATTEMPTS, ChatEndpoint, NoReplyError
from toolkit.chat.window import DEFAULT_MAX_FAULTS, DEFAULT_SIZE, FaultWindow

SAMPLING = {"temperature": 0.0, "seed": 0}
"""Greedy, like the published evaluation."""
MAX_TOKENS = 1024
"""Default limit for a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMJudgeSettings:
    """The model, its endpoint, and the limits of the judge."""

    base_url: str
    """Such as "http://localhost:8000/v1". The key is read from the environment (`OPENAI_API_KEY`)."""
    model: str
    cache_path: Path | None = None
    """SQLite file of verdicts; None keeps no verdicts, and an interrupted run asks everything again."""
    max_tokens: int = MAX_TOKENS
    """Token limit of a reply, including the reasoning of a reasoning model."""
    concurrency: int = 8
    """Concurrent questions, including those that wait for a retry."""
    timeout_seconds: float = 60.0
    """Time limit of a request, from sending it to the last byte of its reply."""
    num_attempts: int = NUM_ATTEMPTS
    """Attempts for a reply, including the first one; only temporary failures are retried."""
    max_unscored: float = DEFAULT_MAX_FAULTS
    """Judging stops if more than this share of the window is unscored."""
    window_size: int = DEFAULT_SIZE
    """Number of latest questions in the window."""

    def sampling(self) -> dict[str, Any]:
        """Return the sampling fields of a request."""
        return {**SAMPLING, "max_tokens": self.max_tokens}


class Questions:
    """An open endpoint and an open cache, for use in one event loop."""

    def __init__(self, settings: LLMJudgeSettings, tally: JudgeTally) -> None:
        """Open the cache; nothing is sent.

        Raises:
            JudgeError: the address is not valid, or the cache cannot be used.
        """
        self.settings = settings
        self.tally = tally
        self.endpoint = ChatEndpoint(
            settings.base_url,
            settings.model,
            JUDGE,
            tally,
            timeout_seconds=settings.timeout_seconds,
            num_attempts=settings.num_attempts,
        )
        self.cache = ReplyCache(settings.cache_path, JUDGE) if settings.cache_path else None
        self._window = FaultWindow(settings.max_unscored, settings.window_size)
        self._places = asyncio.Semaphore(settings.concurrency)

    async def answer_all(self, item_by_question: Mapping[str, Item]) -> dict[str, Fields | Unscored]:
        """Return the outcome of every question.

        Raises:
            JudgeError: too many are unscored, or no request can succeed; open questions are cancelled.
        """
        self.tally.num_questions += len(item_by_question)
        outcomes: dict[str, Fields | Unscored] = {}
        missing = []
        for question in item_by_question:
            if kept := self._recall(question):
                outcomes[question] = kept
            else:
                missing.append(question)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._answer(name, item_by_question[name])) for name in missing]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the others are similar or follow from it
        return outcomes | {question: task.result() for question, task in zip(missing, tasks, strict=True)}

    async def close(self) -> None:
        """Close connections and cache."""
        await self.endpoint.close()
        if self.cache is not None:
            self.cache.close()

    def _recall(self, question: str) -> Fields | None:
        """Return the cached verdict on a question, or None; an invalid verdict is removed."""
        if self.cache is None or (kept := self.cache.get(question)) is None:
            return None
        fields = read_verdict(kept.text)
        if isinstance(fields, Unscored):
            self.cache.drop(question)
            return None
        self.tally.num_cached += 1
        self.tally.cached_prompt_tokens += kept.prompt_tokens
        self.tally.cached_completion_tokens += kept.completion_tokens
        return fields

    async def _answer(self, question: str, item: Item) -> Fields | Unscored:
        async with self._places:
            outcome = await self._ask(question, item)
        reason = outcome.reason if isinstance(outcome, Unscored) else ""
        if reason:
            self.tally.reasons[reason] += 1
        self._window.note(reason)
        if self._window.is_too_much:
            raise JudgeError(self._stopped())
        return outcome

    async def _ask(self, question: str, item: Item) -> Fields | Unscored:
        try:
            reply = await self.endpoint.ask(
                messages(item), {"response_format": _constraint(), **self.settings.sampling()}
            )
        except NoReplyError as error:
            return Unscored(str(error))
        if reply.fault:
            return Unscored(reply.fault)
        fields = read_verdict(reply.text)
        if isinstance(fields, Unscored) or self.cache is None:
            return fields
        kept = Kept(json.dumps(fields), reply.prompt_tokens, reply.completion_tokens)
        first = self.cache.put(question, self.settings.model, kept)
        # Another process may have asked the same question; all use the verdict that was stored first.
        agreed = read_verdict(first.text)
        return fields if isinstance(agreed, Unscored) else agreed

    def _stopped(self) -> str:
        if self.cache is None:
            kept = "no verdicts are kept, because there is no judge_cache"
        else:
            kept = f"{len(self.cache)} verdicts are kept in {self.cache.path}; the same command again asks for the rest"
        return (
            f"judge {self.endpoint.name} stopped: {self._window.describe()}; {kept}; judge_max_unscored sets the limit"
        )


def _constraint() -> dict[str, Any]:
    """Return the schema of a verdict as a decoding constraint."""
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema()}}
