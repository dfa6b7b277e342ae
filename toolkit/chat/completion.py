"""From the bytes of a server's answer to a reply: OpenAI's chat completions, with the variations of real servers.

Content is a text, a list of parts, or nothing. The reasoning of a reasoning model stands beside it
(`reasoning_content`, `reasoning`), among the parts, or in place of an answer. Anything else is an error with the
server's words.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protocol.keys.literals import without_surrogates
from toolkit.chat.caller import CallerSpec
from toolkit.chat.reasoning import is_reasoning

MAX_DEPTH = 64
"""Deepest nesting that is read in JSON of a server or a model."""
MAX_COUNT = 2**53
"""Tokens; a higher count is a mistake of the server."""
SHOWN = 300
"""Characters of a server's words that are shown."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Texts and brackets. A text without an end goes up to the end; else each of its quotes is tried as a beginning."""
_CUT_OFF, _WITHHELD = "length", "content_filter"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, and what it cost."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    fault: str = ""
    """Why the reply is not complete: cut off, withheld, refused or empty; "" if it is complete."""
    is_cut_off: bool = False
    """Whether it ended at its token limit."""
    is_refusal: bool = False
    """Whether the server marks the text as a refusal."""


class NoCompletionError(ValueError):
    """The server's answer is not a chat completion; the message quotes it."""


def read_json(text: str) -> Any:
    """Read JSON of foreign origin; numbers that are too large are read as infinite.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return json.loads(text, parse_int=_integer)


def read_completion(body: bytes, caller: CallerSpec) -> Reply:
    """Return the reply in the body of an answer.

    Raises:
        NoCompletionError: there is no reply in it.
    """
    text = body.decode("utf-8", errors="replace")
    try:
        record = read_json(text)
    except ValueError as error:
        kind = "HTML" if re.match(r"\s*<(?:!doctype|html)", text, re.IGNORECASE) else f"no JSON ({error})"
        raise NoCompletionError(f"{kind}: {words_of(text)}") from None
    choices = record.get("choices") if isinstance(record, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise NoCompletionError(f"there is no choice with a message in it: {words_of(text)}")
    usage = record.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counts = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return _reply(message, str(choice.get("finish_reason")), counts, caller)


def words_of(text: str) -> str:
    """Return the beginning of what a server says, on one line."""
    return " ".join(without_surrogates(text[: 4 * SHOWN]).split())[:SHOWN] or "(nothing)"


def _reply(message: dict[str, Any], finish: str, counts: tuple[int, int], caller: CallerSpec) -> Reply:
    content = without_surrogates("".join(_texts(message.get("content"))))
    has_reasoning = _has_reasoning(message)
    if is_reasoning(content):
        content, has_reasoning = "", True
    refusal = message.get("refusal")
    refusal = without_surrogates(refusal) if isinstance(refusal, str) else ""
    is_cut_off = finish == _CUT_OFF
    text = content or refusal
    fault = ""
    if is_cut_off:
        thought = " while the model was still thinking" if not text and has_reasoning else ""
        fault = f"the reply was cut off at its token limit{thought}: {caller.limit} raises it"
    elif finish == _WITHHELD:
        fault = "the server withheld the reply"
    elif refusal:
        fault = f"the {caller.name} refuses"
    elif not text.strip() and has_reasoning:
        fault = (
            f"the reply is reasoning without an answer: {caller.limit} leaves more room, or the server's reasoning"
            " parser does not fit the model"
        )
    elif not text.strip():
        fault = "the reply is empty"
    return Reply(text, *counts, fault, is_cut_off, is_refusal=bool(refusal) and not content)


def _texts(content: Any) -> Iterator[str]:
    """Yield the texts of a message's content that are meant to be read: those of its parts, thoughts left out."""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and part.get("type", "text") in {"text", "output_text"}:
            text = part.get("text")
            yield text if isinstance(text, str) else ""


def _has_reasoning(message: dict[str, Any]) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return any(message.get(name) for name in ("reasoning_content", "reasoning")) or any(
        isinstance(part, dict) and part.get("type") in {"thinking", "reasoning"} for part in parts
    )


def _count(value: object) -> int:
    return value if type(value) is int and 0 < value <= MAX_COUNT else 0


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)
