"""One question to a chat model behind an OpenAI-compatible server: its reply, or why there is none.

Each attempt has a deadline of its own, which also ends a server that sends a byte now and then. The key comes from the
environment, and neither it nor a password in the address is ever part of a message.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai

from toolkit.chat.asker import Asker
from toolkit.chat.retry import Patience, retrying
from toolkit.chat.usage import Usage

Messages = Sequence[Mapping[str, Any]]
"""A conversation in the form of OpenAI's chat completions."""
KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"
"""Sent where there is none: servers of one's own usually ask for none."""

# The address, the key or the model's name is wrong, for this request and every other one.
_HOPELESS_STATUSES = frozenset({401, 403, 404})
_CUT_OFF = {"length": "the reply was cut off at its token limit", "content_filter": "the server withheld the reply"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, and what it cost."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    fault: str = ""
    """Why the text is no whole reply: cut off, withheld, refused or empty; "" where it is one."""
    is_cut_off: bool = False
    """Whether it ended at its token limit."""
    is_refusal: bool = False
    """Whether the text is what the server marks as a refusal."""


class NoReplyError(Exception):
    """There is no reply to this request; the message says why, a colon after its general part."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        """What the server answered instead, where it did."""


class ChatEndpoint:
    """A chat model; to be used from one event loop."""

    def __init__(
        self, base_url: str, model: str, asker: Asker, usage: Usage, *, timeout_seconds: float, patience: Patience
    ) -> None:
        """Prepare; nothing is sent. Requests and tokens are counted in `usage`.

        Raises:
            ChatError: the asker's; the address is none.
        """
        address = urlsplit(base_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise asker.error(
                f"{asker.name}_url: expected an address such as http://localhost:8000/v1, found "
                f"{base_url.rpartition('@')[2]!r}"
            )
        self.model = model
        self.name = f"model {model!r} at {address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
        self.asker = asker
        self.timeout_seconds = timeout_seconds
        self.patience = patience
        self.usage = usage
        self._key = os.environ.get(KEY_VARIABLE) or NO_KEY
        self._client = openai.AsyncOpenAI(base_url=base_url, api_key=self._key, timeout=timeout_seconds, max_retries=0)

    async def ask(self, messages: Messages, options: Mapping[str, Any]) -> Reply:
        """Return the reply to messages, asked again as long as patience allows.

        Args:
            messages: the conversation.
            options: further fields of the request: sampling, and constraints on decoding.

        Raises:
            NoReplyError: this request got no reply.
            ChatError: the asker's; no request will: a wrong address, key or model name.
        """
        try:
            async for attempt in retrying(self.patience):
                with attempt:
                    return await self._attempt(messages, options)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise NoReplyError(f"no reply within {self.timeout_seconds:g} s") from error
        except openai.APIConnectionError as error:
            raise NoReplyError(f"the connection failed: {self._safe(str(error.__cause__ or error))}") from error
        except openai.APIStatusError as error:
            message = self._safe(_message_of(error))
            if error.status_code in _HOPELESS_STATUSES:
                raise self.asker.error(
                    f"{self.asker.name} {self.name}: status {error.status_code}: {message}; check the address, the"
                    f" model's name and the key in {KEY_VARIABLE}"
                ) from error
            raise NoReplyError(f"status {error.status_code}: {message}", error.status_code) from error
        except (openai.OpenAIError, ValueError, AttributeError, IndexError, TypeError) as error:
            raise NoReplyError(f"what came is no chat completion: {self._safe(str(error))}") from error
        raise AssertionError  # attempts end with a return or an error

    async def owner(self) -> str:
        """Return whom the server names as the owner of the model, by which some servers tell what they are; or ""."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                models = await self._client.models.list()
            found = [model for model in models.data if model.id == self.model] or models.data
            return str(found[0].owned_by)
        except (TimeoutError, openai.OpenAIError, ValueError, AttributeError, IndexError, TypeError):
            return ""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, messages: Messages, options: Mapping[str, Any]) -> Reply:
        self.usage.num_requests += 1
        async with asyncio.timeout(self.timeout_seconds):
            completion = await self._client.chat.completions.create(model=self.model, messages=messages, **options)
        usage, choice = completion.usage, completion.choices[0]
        prompt_tokens = _count(getattr(usage, "prompt_tokens", 0))
        completion_tokens = _count(getattr(usage, "completion_tokens", 0))
        self.usage.prompt_tokens += prompt_tokens
        self.usage.completion_tokens += completion_tokens
        message, is_cut_off = choice.message, choice.finish_reason == "length"
        refusal = getattr(message, "refusal", None)
        text = message.content if isinstance(message.content, str) else refusal or ""
        fault = _CUT_OFF.get(choice.finish_reason, "")
        if not fault and refusal:
            fault = f"the {self.asker.name} refuses"
        if not fault and not isinstance(message.content, str):
            fault = "the reply is empty"
        return Reply(text, prompt_tokens, completion_tokens, fault, is_cut_off, is_refusal=bool(refusal))

    def _safe(self, message: str) -> str:
        """Return a server's message on one short line, without the key, which some servers repeat."""
        hidden = message if self._key == NO_KEY else message.replace(self._key, "[key]")
        return " ".join(hidden.split())[:300]


def _message_of(error: Any) -> str:
    """Return what the server itself says of an error; without that, what the client does."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return said if isinstance(said, str) else str(error.message)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
