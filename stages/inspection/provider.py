"""Provides checkpoints as models of Inspect: `--model tritrace/NAME`, a stage's folder, a base model's, or a hub name.

Model arguments (`-M`): `batch_size`, and the permissions `trust_remote_code`, `allow_pickle` and `allow_broken`. Of
Inspect's generation options, `--max-tokens`, `--temperature` and `--seed` are used. The random numbers for a question
depend on its batch. Pictures are read from the messages.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from inspect_ai.util import materialize_media

from data.rows import Message, Provenance, RolloutPrompt
from eval.policies.base import Generation
from eval.policies.checkpoint import HFPolicy
from protocol import Labels
from protocol.errors import UserError
from stages.inspection.batching import Batcher
from stages.inspection.samples import PLAN, pictures_of
from stages.provenance.trust import Permissions
from stages.results.subjects import subject_of

MAX_TOKENS = 256
_PROVENANCE = Provenance("inspect", "unknown", "inspect 1")


@dataclass(frozen=True, slots=True)
class _Sampling:
    """The sampling options that all questions of a batch share."""

    max_new_tokens: int
    temperature: float
    is_constrained: bool


class CheckpointAPI(ModelAPI):
    """A checkpoint, sampled in batches on this machine."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - as Inspect's own base class has it
        batch_size: int = 32,
        **allowed: bool,
    ) -> None:
        """Load the checkpoint.

        Args:
            model_name: a folder, or the name of a model on the hub.
            base_url: not used.
            api_key: not used.
            config: Inspect's generation options.
            batch_size: prompts sampled together.
            allowed: fields of `stages.provenance.trust.Permissions`; false by default.

        Raises:
            UserError: there is no such checkpoint, or it cannot be loaded.
        """
        super().__init__(model_name=model_name, base_url=base_url, api_key=api_key, config=config)
        folder = Path(model_name)
        is_stage = (folder / "adapter").is_dir()  # a merged model has manifests too
        self.batch_size = batch_size
        named = (None, folder) if is_stage else (model_name, None)
        subject = subject_of(*named, permissions=Permissions(**allowed))
        self.prompt_style = subject.style
        self.policy: HFPolicy = subject.load(batch_size=batch_size, label="")
        self._seed = config.seed or 0
        self._limiter = anyio.CapacityLimiter(4 * batch_size)
        self._batcher: Batcher[RolloutPrompt, Generation] = Batcher(self._respond, size=batch_size)

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect gives it by this name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer a conversation.

        Raises:
            UserError: the conversation offers tools; our checkpoints have only virtual tools.
        """
        del tool_choice
        if tools:
            raise UserError("tritrace checkpoints call no tools: the calls of a trace are virtual")
        plan = (config.extra_body or {}).get(PLAN)
        sampling = _Sampling(config.max_tokens or MAX_TOKENS, config.temperature or 0.0, plan is not None)
        pictures = [await materialize_media(picture) for picture in pictures_of(input)]
        answer = self._batcher.ask(_prompt(input, pictures, plan), sampling)
        found = await anyio.to_thread.run_sync(partial(answer.result), limiter=self._limiter, abandon_on_cancel=True)
        message = ChatMessageAssistant(content=found.text, model=self.model_name, source="generate")
        choice = ChatCompletionChoice(message=message, stop_reason="max_tokens" if found.is_truncated else "stop")
        usage = ModelUsage(output_tokens=found.num_tokens, total_tokens=found.num_tokens)
        return ModelOutput(model=self.model_name, choices=[choice], usage=usage)

    def max_tokens(self) -> int | None:
        """Return the default token limit of a response."""
        return MAX_TOKENS

    def max_connections(self) -> int:
        """Return the number of concurrent samples: one batch, and the next one waiting."""
        return 2 * self.batch_size

    def connection_key(self) -> str:
        """Return the key for shared connections: the checkpoint."""
        return str(self.model_name)

    def close(self) -> None:
        """Finish the pending questions."""
        self._batcher.close()

    def _respond(self, group: Hashable, prompts: Sequence[RolloutPrompt]) -> list[Generation]:
        if not isinstance(group, _Sampling):
            raise TypeError(f"a batch is asked for with its sampling, found {group!r}")
        settings: dict[str, Any] = {"max_new_tokens": group.max_new_tokens, "do_sample": group.temperature > 0}
        if group.temperature > 0:
            settings |= {"temperature": group.temperature, "top_k": 0, "top_p": 1.0}
        self.policy.model.generation_config.update(**settings)
        self.policy.constrained = group.is_constrained
        self.policy.seed, self._seed = self._seed, self._seed + 1  # otherwise all batches draw the same
        return self.policy.respond(prompts, Path())


def _prompt(messages: Sequence[ChatMessage], pictures: Sequence[str], plan: str | None) -> RolloutPrompt:
    turns: tuple[Message, ...] = tuple({"role": message.role, "content": message.text} for message in messages)
    return RolloutPrompt(
        id="", query_id="", kind="", split="", prompt=turns, images=tuple(pictures), plan=plan or "",
        labels=Labels(), query="", provenance=_PROVENANCE,
    )  # fmt: skip
