"""A model behind an OpenAI-compatible server as a policy: vLLM, SGLang, llama.cpp, `transformers serve`. No torch.

Greedy and seeded unless told otherwise, pictures as `data:` URIs, a bounded number of requests at a time, each asked
again where that may help. A prompt that still gets no response is a failure with its reason; when too many of
the last ones failed, sampling stops. Servers batch requests as they come, so that two runs may differ in the last
bits of their arithmetic; nothing here can change that.

Needs the extra `judge` (`pip install '.[judge]'`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.images import portable_uri
from data.pixels import GROUND, is_colour
from data.rows import RolloutPrompt
from eval.policies.base import Generation, Keep, keep_nothing, progress
from eval.policies.dialects import DIALECTS, PLAIN, Dialect, dialect_of
from protocol.parser import NotInLanguageError, parse
from protocol.plan import Plan
from toolkit.chat.caller import CallerSpec, ChatError
from toolkit.chat.endpoint import NUM_ATTEMPTS, ChatEndpoint, NoReplyError, Reply
from toolkit.chat.loop import LoopThread
from toolkit.chat.reasoning import without_reasoning
from toolkit.chat.usage import Usage
from toolkit.chat.window import DEFAULT_MAX_FAULTS, DEFAULT_SIZE, FaultWindow


class EndpointError(ChatError):
    """The server cannot be sampled from; the message says why, and what to do."""


POLICY = CallerSpec("policy", "response", 0x74726A70, EndpointError, "max_new_tokens")  # "trjp"
"""The policy as one who is asked; its responses are kept in the folder of an evaluation, not in a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Which model is asked, and how."""

    url: str
    """Such as "http://localhost:8000/v1". The key is read from the environment (`OPENAI_API_KEY`)."""
    model: str
    """The server's name of the model."""
    server: str = "auto"
    """Which kind of server: a name of `eval.policies.dialects.DIALECTS`, or "auto", which asks its list of models."""
    max_new_tokens: int = 256
    """Limit of a response."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    concurrency: int = 16
    """Requests open at the same time, those that wait to be made again included."""
    timeout_seconds: float = 120.0
    """Of one request."""
    picture_ground: str = GROUND
    """Colour that transparent pictures are put on, as the model was trained."""
    num_attempts: int = NUM_ATTEMPTS
    """Requests for a reply, while failures may pass by themselves; the first included."""
    max_failed: float = DEFAULT_MAX_FAULTS
    """Share of the window that may fail before sampling stops."""
    window_size: int = DEFAULT_SIZE
    """Requests that the window looks back on."""

    def problems(self) -> list[str]:
        """Return what is out of bounds."""
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
    """Asks a server for each response; from one thread at a time, and also where an event loop is running."""

    def __init__(self, settings: EndpointSettings, *, constrained: bool = False, label: str = "sampling") -> None:
        """Prepare; nothing is sent.

        Args:
            settings: which model, and how it is asked.
            constrained: have the server mask decoding by the grammar of each prompt's plan.
            label: what the progress is called.

        Raises:
            EndpointError: the settings will not do.
        """
        if problems := settings.problems():
            raise EndpointError("\n".join(problems))
        self.settings = settings
        self.constrained = constrained
        self.picture_ground = settings.picture_ground
        self.label = label
        self.usage = Usage()
        _endpoint(settings, self.usage)  # a wrong address is said at once

    def respond(
        self,
        prompts: Sequence[RolloutPrompt],
        images_root: Path,
        *,
        done: Mapping[int, Generation] | None = None,
        keep: Keep = keep_nothing,
    ) -> list[Generation]:
        """Ask for a response to every prompt that has none yet; `Policy.respond` says what the arguments are.

        Raises:
            ImageError: a prompt's image cannot be read.
            EndpointError: no request can succeed, too many failed, or the server cannot constrain, or does not.
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
            raise errors.exceptions[0] from None  # the others are like it, or follow from it
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
    """An endpoint in use; to be used from one event loop."""

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
                " what was answered is kept, and the same command asks for the rest"
            )

    def _request(self) -> dict[str, Any]:
        settings = self.settings
        sampling = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "seed": settings.seed}
        return {**PLAIN, **sampling, **self.dialect.sampling}

    def _constraint(self, prompt: RolloutPrompt) -> dict[str, Any]:
        """Return the fields that constrain a response, which cannot be left out."""
        return self.dialect.constrain(prompt.plan) if self.constrained and self.dialect.constrain else {}

    def _check_language(self, prompt: RolloutPrompt, text: str) -> None:
        """Raise where a finished response is not in the language that it was to be constrained to."""
        try:
            parse(text, Plan.from_json(prompt.plan))
        except NotInLanguageError as error:
            raise EndpointError(
                f"policy {self.endpoint.name}: asked to constrain decoding, and did not: the response to {prompt.id} is"
                f" complete, and not in its plan's grammar ({str(error).splitlines()[0]}); needed is"
                f" {self.dialect.hint}, or leave out --constrained"
            ) from None


def _generation(reply: Reply) -> Generation:
    """Return what a reply says; one that was cut off or refuses is a response too, one that says nothing is none.

    The reasoning that some servers leave before a response is no part of it. A response that begins with its trace has
    none before it, whatever its answer says of such tags.
    """
    text = reply.text if reply.text.lstrip().startswith("<thinking>") else without_reasoning(reply.text).lstrip("\n")
    is_said = not reply.fault or reply.is_refusal or (reply.is_cut_off and text.strip())
    return Generation(text, reply.completion_tokens, reply.is_cut_off, failure="" if is_said else reply.fault)


def chat_messages(prompt: RolloutPrompt, images_root: Path, ground: str = GROUND) -> list[dict[str, Any]]:
    """Return a prompt in the form of OpenAI's chat completions, its pictures before the first words of the user.

    Args:
        prompt: what is asked.
        images_root: the folder that its image paths are relative to.
        ground: name of the colour that transparency is put on.

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
