"""The OpenAI chat format at the border of the server: a request becomes a question, an answer becomes a reply.

Options that would change the meaning of a reply (streaming, tools, several choices) are refused. The server decides the
sampling settings; the reply names those of the request as ignored.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from secrets import token_hex
from typing import Any

from data.files.text import NotTextError, refuse_surrogates
from eval.guard.answer import GuardedAnswer

MAX_PICTURES = 8
_REFUSED = {
    "stream": "answers are not streamed: one is sent only after it was checked as a whole; send stream: false",
    "tools": "tools are not executed here; the model's tools are virtual and stand in its trace",
    "functions": "functions are not executed here",
    "response_format": "an answer is plain text; its trace stands beside it under tritrace",
    "logprobs": "log probabilities are not given",
    "audio": "answers are text",
}
_READ = {"model", "messages", "n", "user", "metadata", "store", "stream_options"}


class RequestError(Exception):
    """A request that gets no answer."""

    def __init__(
        self, message: str, *, status: int = 400, code: str = "invalid_request", wait: int | None = None
    ) -> None:
        """Store the reason.

        Args:
            message: the reason, for the caller.
            status: HTTP status.
            code: name of the error, for programs.
            wait: seconds after which to ask again; None if that does not help.
        """
        super().__init__(message)
        self.status, self.code, self.wait = status, code, wait

    def body(self) -> dict[str, Any]:
        """Return the error as OpenAI's servers write it."""
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the guard."""

    text: str
    images: tuple[str, ...]
    """`data:` URIs."""
    ignored: tuple[str, ...]
    """Settings of the request that are ignored."""


def read_question(request: object, served: str) -> Question:
    """Return the question of a chat request: everything that the user has said since the last answer.

    Some pages send a picture and the words about it as two messages (gradio 6 does).

    Args:
        request: the JSON body.
        served: the name of the model.

    Raises:
        RequestError: the request cannot be answered.
    """
    if not isinstance(request, Mapping):
        raise RequestError("expected a JSON object")
    for name, why in _REFUSED.items():
        if request.get(name):
            raise RequestError(f"{name}: {why}", code=f"{name}_not_supported")
    if request.get("n") not in {None, 1}:
        raise RequestError("n: one answer a request", code="n_not_supported")
    if request.get("model") != served:
        raise RequestError(
            f"the model {request.get('model')!r} is not served here; {served!r} is", status=404, code="model_not_found"
        )
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, Mapping) for each in messages):
        raise RequestError("messages: expected a list of messages, the last one the user's")
    last = messages[-1]
    if last.get("role") != "user":
        raise RequestError(f"messages: the last one has to be the user's, found the role {last.get('role')!r}")
    asked = list(takewhile(lambda message: message.get("role") == "user", reversed(messages)))[::-1]
    text, images = _content([part for message in asked for part in _parts(message.get("content"))])
    try:
        refuse_surrogates(text)
    except NotTextError as error:
        raise RequestError(f"messages: {error}") from None
    return Question(text, images, tuple(_ignored(request, messages[: -len(asked)])))


def _parts(content: object) -> list[Any]:
    """Return the parts of a message.

    Raises:
        RequestError: the message has none.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RequestError("messages: content is a text, or a list of parts of the types text and image_url")
    return content


def _content(parts: Iterable[Any]) -> tuple[str, tuple[str, ...]]:
    """Return the words and the pictures of a question.

    Raises:
        RequestError: the question has other parts, or no words.
    """
    words, images = [], []
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                words.append(text)
            case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
                images.append(_picture(url))
            case _:
                raise RequestError("messages: a part is none of the types text and image_url")
    text = "\n".join(words).strip()
    if not text:
        raise RequestError("messages: the question has no words")
    if len(images) > MAX_PICTURES:
        raise RequestError(f"messages: {len(images)} pictures; at most {MAX_PICTURES}")
    return text, tuple(images)


def _picture(url: str) -> str:
    """Return a picture's `data:` URI.

    Raises:
        RequestError: it is an address or a path. A server must not open these for a stranger.
    """
    if not url.startswith("data:"):
        raise RequestError("image_url: send the picture itself as a data: URI; addresses and paths are not opened")
    return url


def _ignored(request: Mapping[str, Any], before: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    earlier = [str(each.get("role")) for each in before]
    if num_system := sum(role in {"system", "developer"} for role in earlier):
        yield f"{num_system} system message{'s' * (num_system > 1)}: the plan is the system message"
    if num_turns := len(earlier) - num_system:
        yield f"{num_turns} earlier message{'s' * (num_turns > 1)}: every question is answered by itself"
    known = _READ | set(_REFUSED)
    yield from (f"{name}: sampling is the server's" for name, value in request.items() if name not in known and value)


def completion(answered: GuardedAnswer, question: Question, served: str, num: str = "") -> dict[str, Any]:
    """Return the reply: the answer in `content`, with trace and verdict beside it."""
    message = {"role": "assistant", "content": answered.text, "refusal": None}
    return {
        "id": f"chatcmpl-{num or token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": served,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": None,
        "tritrace": _beside(answered, question),
    }


def _beside(answered: GuardedAnswer, question: Question) -> dict[str, Any]:
    """Return the fields beside an answer. Nothing of a withheld response is quoted."""
    plan, verdict = answered.plan, answered.verdict
    found: dict[str, Any] = {
        "released": answered.is_released,
        "withheld": [{"name": reason.name, "detail": reason.detail} for reason in answered.withheld],
        "unchecked": answered.unchecked,
        "safety": answered.safety,
        "ignored": list(question.ignored),
    }
    if plan is not None:
        found["plan"] = {"persona": plan.persona.name, "topology": plan.graph.topology, "reason": plan.reason}
    if verdict is not None:
        codes = sorted({each.code for each in verdict.diagnostics})
        found["verdict"] = {"valid": verdict.is_valid, "coherent": verdict.is_coherent, "codes": codes}
    if verdict is not None and answered.is_released:
        found["trace"] = [call.render() for call in verdict.response.trace.calls]
    if answered.generation is not None:
        found["completion_tokens"] = answered.generation.num_tokens
    return found


def failure_of(answered: GuardedAnswer) -> RequestError | None:
    """Return the error if there is no answer; None if the guard answered or withheld.

    An unreadable picture is the caller's mistake; a failed planner, model or judge is the server's.
    """
    names = {reason.name for reason in answered.withheld}
    if "picture" in names and answered.error is not None:
        return RequestError(f"image_url: {answered.error}", code="invalid_image")
    failed = next((each for each in answered.withheld if each.name in {"planner", "policy"}), None)
    if failed is None:
        return None
    return RequestError(f"no answer: {failed.name} {failed.detail}", status=500, code="model_failed")
