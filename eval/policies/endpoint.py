"""A model behind an OpenAI-compatible server as a policy: vLLM, SGLang, llama.cpp, `transformers serve`. No torch.

Sampling is greedy and seeded by default. Pictures are sent as `data:` URIs. The number of concurrent requests is
limited, and temporary failures are retried. A prompt without a response is a failure with a reason; if too many of the
last prompts failed, sampling stops. Servers batch requests as they arrive, so two runs may differ in the last bits of
their arithmetic; a client cannot change that.

Needs the extra `judge` (`pip install '.[judge]'`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.pictures.images import portable_uri
from data.pictures.pixels import GROUND, is_colour
from data.rows import RolloutPrompt
from eval.policies.base import Generation, Keep, keep_nothing, progress
from eval.policies.dialects import DIALECTS, PLAIN, Dialect, dialect_of
from protocol.grammar.parser import NotInLanguageError, parse
from protocol.plans.plan import Plan
from toolkit.chat.caller import CallerSpec, ChatError
from toolkit.chat.endpoint import NUM_ATTEMPTS, ChatEndpoint, NoReplyError, Reply
from toolkit.chat.loop import LoopThread
from toolkit.chat.reasoning import without_reasoning
from toolkit.chat.usage import Usage
from toolkit.chat.window import DEFAULT_MAX_FAULTS, DEFAULT_SIZE, FaultWindow


class EndpointError(ChatError):
    """Sampling from the server is impossible; the message says why and what to do."""


POLICY = CallerSpec("policy", "response", 0x74726A70, EndpointError, "max_new_tokens")  # "trjp"
"""Caller specification of the policy. Its responses are kept in the folder of an evaluation, not in a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """The model, its server, and the sampling options."""

    url: str
    """Such as "http://localhost:8000/v1". The key is read from the environment (`OPENAI_API_KEY`)."""
    model: str
    """The server's name of the model."""
    server: str = "auto"
    """Kind of server: a name in `eval.policies.dialects.DIALECTS`, or "auto", which reads the server's list of
    models."""
    max_new_tokens: int = 256
    """Token limit of a response."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    concurrency: int = 16
    """Concurrent requests, including those that wait for a retry."""
    timeout_seconds: float = 120.0
    """Time limit of a request."""
    picture_ground: str = GROUND
    """Background colour for transparent pictures, as in the model's training."""
    num_attempts: int = NUM_ATTEMPTS
    """Attempts for a reply, including the first one; only temporary failures are retried."""
    max_failed: float = DEFAULT_MAX_FAULTS
    """Sampling stops if more than this share of the window failed."""
    window_size: int = DEFAULT_SIZE
    """Number of latest requests in the window."""

    def problems(self) -> list[str]:
        """Return the settings that are out of bounds."""
        found = []
        if self.server not in {"auto", *DIALECTS}:
            found.append(f"endpoint_server: expected auto, {', '.join(DIALECTS)}, found {self.server!r}")
        counts = {"endpoint_concurrency": self.concurrency, "max_new_tokens": self.max_new_tokens}
        found += [f"{name}: expected 1 or more, found {count}" for name, count in counts.items() if count < 1]
        if self.timeout_seconds <= 0:
            found.append(f"endpoint_timeout: expected more than 0 seconds, found {self.timeout_seconds:g}")
        if not is_colour(self.picture_ground):
            found.append(f"picture_ground: expected a colour such as white or #808080, found {self.picture_ground!r}")
        return found


class EndpointPolicy:
    """Asks a server for each response; for one thread at a time, also inside a running event loop."""

    def __init__(self, settings: EndpointSettings, *, constrained: bool = False, label: str = "sampling") -> None:
        """Prepare; nothing is sent.

        Args:
            settings: model, server and sampling options.
            constrained: ask the server to constrain decoding to the grammar of each prompt's plan.
            label: label of the progress.

        Raises:
            EndpointError: the settings are invalid.
        """
        if problems := settings.problems():
            raise EndpointError("\n".join(problems))
        self.settings = settings
        self.constrained = constrained
        self.picture_ground = settings.picture_ground
        self.label = label
        self.usage = Usage()
        _endpoint(settings, self.usage)  # reports a wrong address at once

    def respond(
        self,
        prompts: Sequence[RolloutPrompt],
        images_root: Path,
        *,
        done: Mapping[int, Generation] | None = None,
        keep: Keep = keep_nothing,
    ) -> list[Generation]:
        """Ask for a response to every prompt that has none yet; the arguments are those of `Policy.respond`.

        Raises:
            ImageError: a prompt's image cannot be read.
            EndpointError: no request can succeed, too many failed, or the server does not constrain decoding.
        """
        found = dict(done or {})
        missing = [place for place in range(len(prompts)) if place not in found]
        if missing:
            loop = LoopThread()
            try:
                with progress(len(prompts), len(found), self.label) as advance:

                    def take(place: int, generation: Generation) -> None:
                        found[place] = generation
                        keep(place, generation)
                        advance(1)

                    loop.run(self._ask_all({place: prompts[place] for place in missing}, images_root, take))
            finally:
                loop.close()
        return [found[place] for place in range(len(prompts))]

    async def _ask_all(self, prompts: Mapping[int, RolloutPrompt], images_root: Path, take: Keep) -> None:
        endpoint = _endpoint(self.settings, self.usage)
        try:
            questions = _Questions(endpoint, self.settings, await self._dialect(endpoint), self.constrained)
            async with asyncio.TaskGroup() as group:
                for place, prompt in prompts.items():
                    group.create_task(questions.ask(place, prompt, images_root, take))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the others are similar or follow from it
        finally:
            await endpoint.close()

    async def _dialect(self, endpoint: ChatEndpoint) -> Dialect:
        server = self.settings.server
        dialect = dialect_of(await endpoint.owner()) if server == "auto" else DIALECTS[server]
        if self.constrained and dialect.constrain is None:
            able = "; ".join(f"{each.name} ({each.hint})" for each in DIALECTS.values() if each.constrain)
            which = "does not say which server it is" if server == "auto" else f"is said to be {dialect.name}"
            raise EndpointError(
                f"policy {endpoint.name}: {which}, and cannot be asked to constrain decoding; those that can: {able}."
                " Name it with --endpoint-server, or leave out --constrained"
            )
        return dialect


@dataclass
class _Questions:
    """An open endpoint, for use in one event loop."""

    endpoint: ChatEndpoint
    settings: EndpointSettings
    dialect: Dialect
    constrained: bool

    def __post_init__(self) -> None:
        self.places = asyncio.Semaphore(self.settings.concurrency)
        self.window = FaultWindow(self.settings.max_failed, self.settings.window_size, word="unanswered")

    async def ask(self, place: int, prompt: RolloutPrompt, images_root: Path, take: Keep) -> None:
        async with self.places:
            messages = await asyncio.to_thread(chat_messages, prompt, images_root, self.settings.picture_ground)
            try:
                constraint = self._constraint(prompt)
                reply = await self.endpoint.ask(messages, self._request() | constraint, needed=constraint)
                generation = _generation(reply)
            except NoReplyError as error:
                generation = Generation("", num_tokens=0, is_truncated=False, failure=str(error))
        if self.constrained and not generation.failure and not generation.is_truncated:
            self._check_language(prompt, generation.text)
        take(place, generation)
        self.window.note(generation.failure)
        if self.window.is_too_much:
            raise EndpointError(
                f"policy {self.endpoint.name} stopped: {self.window.describe()};"
                " the responses so far are kept, and the same command asks for the rest"
            )

    def _request(self) -> dict[str, Any]:
        settings = self.settings
        sampling = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "seed": settings.seed}
        return {**PLAIN, **sampling, **self.dialect.sampling}

    def _constraint(self, prompt: RolloutPrompt) -> dict[str, Any]:
        """Return the fields that constrain a response to the grammar of its plan."""
        return self.dialect.constrain(prompt.plan) if self.constrained and self.dialect.constrain else {}

    def _check_language(self, prompt: RolloutPrompt, text: str) -> None:
        """Raise if a finished response is not in the language of its plan: the server ignored the constraint."""
        try:
            parse(text, Plan.from_json(prompt.plan))
        except NotInLanguageError as error:
            raise EndpointError(
                f"policy {self.endpoint.name}: asked to constrain decoding, and did not: the response to {prompt.id} is"
                f" complete, and not in its plan's grammar ({str(error).splitlines()[0]}); needed is"
                f" {self.dialect.hint}, or leave out --constrained"
            ) from None


def _generation(reply: Reply) -> Generation:
    """Return the generation of a reply. A cut-off reply and a refusal are responses; an empty reply is a failure.

    Some servers put the model's reasoning before the response; it is removed. A response that begins with its trace has
    no such reasoning, even if its answer mentions these tags.
    """
    text = reply.text if reply.text.lstrip().startswith("<thinking>") else without_reasoning(reply.text).lstrip("\n")
    is_said = not reply.fault or reply.is_refusal or (reply.is_cut_off and text.strip())
    return Generation(text, reply.completion_tokens, reply.is_cut_off, failure="" if is_said else reply.fault)


def chat_messages(prompt: RolloutPrompt, images_root: Path, ground: str = GROUND) -> list[dict[str, Any]]:
    """Return a prompt in the form of OpenAI's chat completions, with its pictures before the user's first text.

    Args:
        prompt: the prompt.
        images_root: its image paths are relative to this folder.
        ground: name of the background colour for transparent pictures.

    Raises:
        ImageError: an image cannot be read.
    """
    uris = (portable_uri(each, images_root, ground) for each in prompt.images)
    pictures = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
    messages: list[dict[str, Any]] = [dict(message) for message in prompt.prompt]
    first = next((message for message in messages if message["role"] == "user"), None)
    if pictures and first is not None:
        first["content"] = [*pictures, {"type": "text", "text": first["content"]}]
    return messages


def _endpoint(settings: EndpointSettings, usage: Usage) -> ChatEndpoint:
    return ChatEndpoint(
        settings.url,
        settings.model,
        POLICY,
        usage,
        timeout_seconds=settings.timeout_seconds,
        num_attempts=settings.num_attempts,
    )
