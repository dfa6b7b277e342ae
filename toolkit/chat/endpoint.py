"""One question to a chat model behind an OpenAI-compatible server: its reply, or why there is none.

Every part of the product that asks a model uses this. Each attempt has a deadline and bounds (`transport`), fields
that the server refuses are left out (`fields`), and what comes is read as servers really write it (`completion`). The
key comes from the environment; neither it nor a password in the address is ever part of what leaves this module, not
even where the server repeats them.
"""

import json
import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import openai

from protocol.keys.literals import without_surrogates
from toolkit.chat.address import read_address
from toolkit.chat.caller import CallerSpec, NoReplyError
from toolkit.chat.completion import NoCompletionError, Reply, read_completion, read_json, words_of
from toolkit.chat.fields import STATUSES, refused_fields
from toolkit.chat.transport import ANSWERED, BadReplyError, BoundedClient
from toolkit.chat.usage import Usage
from toolkit.secrets import RedactingFilter, redacted, remember, without_secrets

__all__ = ["ChatEndpoint", "Messages", "NoReplyError", "Reply"]

Messages = Sequence[Mapping[str, Any]]
"""A conversation in the form of OpenAI's chat completions."""
KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"
"""Sent where there is no key: one's own servers usually need none."""
NUM_ATTEMPTS = 4
"""Most requests for a reply; only failures that may pass are tried again."""

# The address, the key or the model's name is wrong, for this request and every other one.
_HOPELESS_STATUSES = frozenset({401, 403, 404})


class ChatEndpoint:
    """A chat model; to be used from one event loop."""

    def __init__(
        self,
        base_url: str,
        model: str,
        caller: CallerSpec,
        usage: Usage,
        *,
        timeout_seconds: float,
        num_attempts: int = NUM_ATTEMPTS,
        key: str | None = None,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            base_url: such as http://localhost:8000/v1.
            model: the server's name of it.
            caller: who asks.
            usage: where requests and tokens are counted.
            timeout_seconds: of one request, from sending it to the last byte of its reply.
            num_attempts: most requests for one reply, the first included; only failures that may pass are tried again.
            key: of the server, where it is not in the environment.

        Raises:
            ChatError: the caller's class of it; the address is not valid, or the key cannot be sent.
        """
        address = read_address(base_url, caller)
        self.model = without_surrogates(model)
        self.name = f"model {self.model!r} at {address.shown}"
        self.caller = caller
        self.timeout_seconds = timeout_seconds
        self.usage = usage
        self.refused = refused_fields(address.base_url, self.model)
        self._client = openai.AsyncOpenAI(
            base_url=address.base_url,
            api_key=_key(key, caller),
            timeout=timeout_seconds,
            max_retries=num_attempts - 1,
            default_query=dict(address.query),
            http_client=BoundedClient(address, usage, timeout_seconds),
        )

    async def ask(self, messages: Messages, options: Mapping[str, Any], *, needed: Collection[str] = ()) -> Reply:
        """Return the reply to messages; a failure that may pass is tried again.

        Args:
            messages: the conversation.
            options: further fields of the request: sampling, and constraints on decoding.
            needed: the options that must not be left out, even if the server refuses them.

        Raises:
            NoReplyError: this request got no reply.
            ChatError: the caller's; no request will: a wrong address, key or model name.
        """
        conversation = _text_only(messages)
        while True:
            sent = self.refused.applied(options)
            try:
                reply = await self._reply(conversation, sent)
            except openai.APIStatusError as error:
                if error.status_code not in STATUSES or not self._learns(error, options, sent, needed):
                    self._fail(error)
                continue
            self.usage.prompt_tokens += reply.prompt_tokens
            self.usage.completion_tokens += reply.completion_tokens
            return replace(reply, text=without_secrets(reply.text))

    async def owner(self) -> str:
        """Return the owner of the model as the server names it, or ""; it tells some kinds of server apart."""
        try:
            response = await self._client.with_options(max_retries=0).models.with_raw_response.list()
            models = read_json(response.http_response.text)["data"]
            found = [model for model in models if model["id"] == self.model] or models
            return str(found[0]["owned_by"])
        except (openai.OpenAIError, BadReplyError, ValueError, LookupError, TypeError, AttributeError):
            return ""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _reply(self, messages: Messages, sent: Mapping[str, Any]) -> Reply:
        ask = self._client.chat.completions.with_raw_response.create
        try:
            answer = await ask(model=self.model, messages=messages, extra_body=sent)
            return read_completion(answer.http_response.content, self.caller)
        except openai.APIStatusError:
            raise
        except openai.APITimeoutError as error:
            raise NoReplyError(f"no reply within {self.timeout_seconds:g} s") from error
        except openai.APIConnectionError as error:
            raise NoReplyError(f"the connection failed: {_safe(str(error.__cause__ or error))}") from error
        except BadReplyError as error:
            raise NoReplyError(f"the reply was not taken: {_safe(str(error))}") from error
        except NoCompletionError as error:
            raise NoReplyError(f"what came is no chat completion: {_safe(str(error))}") from error
        except (openai.OpenAIError, ValueError) as error:  # a host that cannot be looked up is a kind of ValueError
            raise NoReplyError(f"the request cannot be sent: {_safe(str(error))}") from error

    def _learns(self, error: Any, options: Mapping[str, Any], sent: Mapping[str, Any], needed: Collection[str]) -> bool:
        """Whether another request may succeed, because the refused field is known now."""
        if self.refused.applied(options) != sent:  # a request at the same time found it out
            return True
        message, fields = _error_of(error)
        change = self.refused.learn(sent, message, fields, needed=needed)
        if change is not None:
            print(f"{self.caller.name} {self.name}: {change}", file=sys.stderr, flush=True)  # noqa: T201
        return change is not None

    def _fail(self, error: Any) -> NoReturn:
        """Raise what an error of the server means.

        Raises:
            NoReplyError: this request got no reply.
            ChatError: the caller's; no request will.
        """
        message, _ = _error_of(error)
        answered = error.response.extensions.get(ANSWERED)
        status = f"status {error.status_code}" if answered is None else f"status {answered} with an error"
        if error.status_code in _HOPELESS_STATUSES:
            raise self.caller.error(
                f"{self.caller.name} {self.name}: {status}: {_safe(message)}; check the address, the model's name and"
                f" the key in {KEY_VARIABLE}"
            ) from error
        raise NoReplyError(f"{status}: {_safe(message)}", error.status_code) from error


def _key(given: str | None, caller: CallerSpec) -> str:
    key = (given or os.environ.get(KEY_VARIABLE) or NO_KEY).strip() or NO_KEY
    if not key.isascii() or not key.isprintable():
        raise caller.error(f"{KEY_VARIABLE}: the key holds a character that cannot be sent, such as a line break")
    if key != NO_KEY:
        remember(key)
    return key


def _error_of(error: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the server's message about an error, and the error as it is in the reply."""
    try:
        record = read_json(error.response.text)
    except ValueError:
        return error.response.text, {}
    fields = record.get("error", record) if isinstance(record, dict) else None
    if not isinstance(fields, dict):
        return str(fields or error.response.text), {}
    said = next((fields[name] for name in ("message", "detail") if isinstance(fields.get(name), str)), None)
    return said or json.dumps(fields), fields


def _safe(message: str) -> str:
    """Return a server's or a library's message on one short line, without secrets, which some servers repeat."""
    return words_of(redacted(message))


def _text_only(value: Any) -> Any:
    """Return a JSON value without lone surrogates, which cannot be sent."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, Mapping):
        return {name: _text_only(each) for name, each in value.items()}
    return [_text_only(each) for each in value] if isinstance(value, (list, tuple)) else value


for _library in ("httpx2", "openai._base_client"):
    logging.getLogger(_library).addFilter(RedactingFilter())
