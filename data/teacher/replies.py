"""Replies of the teacher: kept ones, or fresh ones that are then kept; no question is asked twice.

Bounded in how many are open at a time, and watched: when too many of the last ones went unanswered, all stop.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from data.teacher.prompting import Messages
from data.teacher.settings import TEACHER, TeacherError, TeacherSettings
from protocol import Plan
from toolkit.chat.cache import Kept, ReplyCache, question_key
from toolkit.chat.endpoint import ChatEndpoint, NoReplyError, Reply
from toolkit.chat.usage import Usage
from toolkit.chat.window import FaultWindow

# What servers answer to a field that they do not know, or cannot use.
_REFUSED = frozenset({400, 422})


@dataclass(slots=True)
class Spending(Usage):
    """What the teacher cost, and whether it took the grammars."""

    is_constrained: bool = field(default=True)
    """False once the server has refused a grammar and answered without."""


class Replies:
    """An endpoint and a cache in use; to be used from one event loop."""

    def __init__(self, settings: TeacherSettings, spending: Spending) -> None:
        """Open the cache; nothing is sent.

        Raises:
            TeacherError: the address is not valid, or the cache cannot be used.
        """
        self.settings = settings
        self.spending = spending
        self.endpoint = ChatEndpoint(
            settings.base_url,
            settings.model,
            TEACHER,
            spending,
            timeout_seconds=settings.timeout_seconds,
            num_attempts=settings.num_attempts,
        )
        self.cache = ReplyCache(settings.cache_path, TEACHER)
        self._window = FaultWindow(settings.max_unanswered, settings.window_size, word="unanswered")
        self._places = asyncio.Semaphore(settings.concurrency)
        self._open: dict[str, asyncio.Task[Reply]] = {}
        self._error: TeacherError | None = None

    async def to(self, messages: Messages, plan: Plan) -> Reply:
        """Return the reply to a conversation under a plan.

        Raises:
            NoReplyError: there is no reply this time.
            TeacherError: too many questions went unanswered, or no request can succeed; replies so far are kept.
        """
        grammar = self.settings.grammar(plan)
        question = question_key(
            model=self.settings.model, messages=messages, grammar=grammar, sampling=self.settings.sampling()
        )
        if question not in self._open:
            task = asyncio.create_task(self._reply(question, messages, grammar))
            self._open[question] = task
            task.add_done_callback(lambda _: self._open.pop(question))
        return await self._open[question]

    async def close(self) -> None:
        """Close connections and cache."""
        await self.endpoint.close()
        self.cache.close()

    async def _reply(self, question: str, messages: Messages, grammar: str | None) -> Reply:
        if kept := self._recall(question):
            return kept
        async with self._places:
            if self._error is not None:  # what still waits for a place is given up
                raise self._error
            try:
                reply = await self._ask(messages, grammar)
            except NoReplyError as error:
                self._note(str(error))
                raise
            except TeacherError as error:
                self._error = error
                raise
        self._note("")
        self.spending.num_questions += 1
        content = json.dumps({"text": reply.text, "fault": reply.fault}, ensure_ascii=False)
        kept_first = self.cache.put(
            question, self.settings.model, Kept(content, reply.prompt_tokens, reply.completion_tokens)
        )
        # Another process may have asked the same; all of them go by the reply that was kept first.
        return _read(kept_first) or reply

    def _recall(self, question: str) -> Reply | None:
        """Return the kept reply to a question, or None; an unreadable one is forgotten."""
        if (kept := self.cache.get(question)) is None:
            return None
        reply = _read(kept)
        if reply is None:
            self.cache.drop(question)
            return None
        self.spending.num_questions += 1
        self.spending.num_cached += 1
        self.spending.cached_prompt_tokens += kept.prompt_tokens
        self.spending.cached_completion_tokens += kept.completion_tokens
        return reply

    async def _ask(self, messages: Messages, grammar: str | None) -> Reply:
        sampling = self.settings.sampling()
        if grammar is None or not self.spending.is_constrained:
            return await self.endpoint.ask(messages, sampling)
        constraint = self.settings.constrained(grammar)
        try:
            return await self.endpoint.ask(messages, sampling | constraint, needed=constraint)
        except NoReplyError as error:
            if self.settings.constraint != "auto" or error.status not in _REFUSED:
                raise
        # The same request without the grammar tells whether that was what the server refused.
        reply = await self.endpoint.ask(messages, sampling)
        self.spending.is_constrained = False
        return reply

    def _note(self, reason: str) -> None:
        self._window.note(reason)
        if reason and self._error is None and self._window.is_too_much:
            self._error = TeacherError(
                f"teacher {self.endpoint.name} stopped: {self._window.describe()}; {len(self.cache)} replies are kept"
                f" in {self.cache.path}; the same command again asks for the rest; --max-unanswered sets how much is"
                " borne"
            )
            raise self._error


def _read(kept: Kept) -> Reply | None:
    try:
        content: Any = json.loads(kept.text)
        text, fault = content["text"], content["fault"]
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(text, str) or not isinstance(fault, str):
        return None
    return Reply(text, kept.prompt_tokens, kept.completion_tokens, fault)
