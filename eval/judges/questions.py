"""Questions to a model and what became of them: a kept verdict, a fresh one, or the reason why there is none.

Bounded in how many are open at a time, and watched: when too many of the last ones went unscored, all stop.
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
from eval.judges.tally import Tally
from eval.judges.verdicts import Fields, read_verdict
from eval.scores.response import Unscored
from toolkit.chat.cache import Kept, ReplyCache
from toolkit.chat.endpoint import NUM_ATTEMPTS, ChatEndpoint, NoReplyError
from toolkit.chat.window import DEFAULT_MAX_FAULTS, DEFAULT_SIZE, FaultWindow

SAMPLING = {"temperature": 0.0, "seed": 0}
"""Greedy, as the published evaluation."""
MAX_TOKENS = 1024
"""Of a verdict, by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMJudgeSettings:
    """How to reach the model, and how much to bear from it."""

    base_url: str
    """Such as "http://localhost:8000/v1". The key is read from the environment (`OPENAI_API_KEY`)."""
    model: str
    cache_path: Path | None = None
    """SQLite file of verdicts; None keeps none, and an interrupted run asks for everything again."""
    max_tokens: int = MAX_TOKENS
    """Of one reply, the reasoning of a reasoning model included."""
    concurrency: int = 8
    """Questions open at the same time, those that wait to be asked again included."""
    timeout_seconds: float = 60.0
    """Of one request, from sending it to the last byte of its reply."""
    num_attempts: int = NUM_ATTEMPTS
    """Requests for a reply, while failures may pass by themselves; the first included."""
    max_unscored: float = DEFAULT_MAX_FAULTS
    """Share of the window that may go unscored before judging stops."""
    window_size: int = DEFAULT_SIZE
    """Questions asked that the window looks back on."""

    def sampling(self) -> dict[str, Any]:
        """Return the fields of a request that say how a verdict is sampled."""
        return {**SAMPLING, "max_tokens": self.max_tokens}


class Questions:
    """An endpoint and a cache in use; to be used from one event loop."""

    def __init__(self, settings: LLMJudgeSettings, tally: Tally) -> None:
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
            JudgeError: too much went unscored, or no request can succeed; what is still open is given up.
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
            raise errors.exceptions[0] from None  # the others are like it, or follow from it
        return outcomes | {question: task.result() for question, task in zip(missing, tasks, strict=True)}

    async def close(self) -> None:
        """Close connections and cache."""
        await self.endpoint.close()
        if self.cache is not None:
            self.cache.close()

    def _recall(self, question: str) -> Fields | None:
        """Return the kept verdict on a question, or None; one that is no verdict is forgotten."""
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
        # Another process may have asked the same; all of them go by the verdict that was kept first.
        agreed = read_verdict(first.text)
        return fields if isinstance(agreed, Unscored) else agreed

    def _stopped(self) -> str:
        if self.cache is None:
            kept = "no verdicts are kept, because there is no judge_cache"
        else:
            kept = f"{len(self.cache)} verdicts are kept in {self.cache.path}; the same command again asks for the rest"
        return (
            f"judge {self.endpoint.name} stopped: {self._window.describe()}; {kept}; "
            "judge_max_unscored sets how much is borne"
        )


def _constraint() -> dict[str, Any]:
    """Return the schema of a verdict as a constraint on decoding."""
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema()}}
