"""Connects TRL's GRPO trainer with `shared_prompts`, and decides when prompts are shared.

It overrides the methods that tokenise, sample and score. Each override calls TRL's method if prompts are not shared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.generation import GenerationMode
from trl import GRPOTrainer

from stages.rollouts.passes.shared_prompts import (
    Batch,
    can_share,
    firsts_of,
    places_of,
    prompts_run_once,
    score_completions,
)

_SETTINGS = frozenset({"batch_size", "compute_entropy", "compute_aux_loss"})
"""Further keyword arguments of TRL's pass, besides pictures and token types."""


class SharingTrainer(GRPOTrainer):
    """Computes a prompt once for its whole group."""

    shares_prompts = True
    """The option of the recipe; the model must support it too."""

    _places: list[int] | None = None
    """The prompt number of each row of the current batch; None if prompts are not shared."""
    _left_out: Sequence[int] = ()
    """Rows of the next batch that are known to be outside the loss."""

    def _tokenize_prompts(self, prompts: Any) -> Any:
        self._places = places_of(prompts) if self._can_share() else None
        if self._places is None or not self._samples_from_prefix:
            return super()._tokenize_prompts(prompts)
        token_ids, images, fields = super()._tokenize_prompts([prompts[place] for place in firsts_of(self._places)])
        if images is not None:
            images = [images[place] for place in self._places]
        return [token_ids[place] for place in self._places], images, fields

    def _can_share(self) -> bool:
        if not self.shares_prompts or self.is_deepspeed_enabled or self.is_fsdp_enabled:
            return False
        with torch.no_grad():
            return can_share(self.accelerator.unwrap_model(self.model))

    @property
    def _samples_from_prefix(self) -> bool:
        if self.use_vllm or self.use_transformers_continuous_batching:
            return False
        config = self.generation_config
        is_plain = config.get_generation_mode() in {GenerationMode.SAMPLE, GenerationMode.GREEDY_SEARCH}
        return (
            is_plain
            and config.use_cache is not False
            and config.cache_implementation is None
            and config.num_return_sequences in {None, 1}
        )

    @contextmanager
    def _sampling_from_prefix(self, model: Any, prompt_ids: list[Any]) -> Iterator[list[Any]]:
        """Yield the prompts for `_generate_single_turn`."""
        if self._places is None or not self._samples_from_prefix:
            yield prompt_ids
            return
        with prompts_run_once(model, self._places):
            yield [prompt_ids[row] for row in firsts_of(self._places)]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        batch = super()._generate_and_score_completions(inputs)
        if self._places is not None:
            batch["places"] = torch.tensor(self._places)  # shuffled and split with the rows
        return batch

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        places = inputs.get("places")
        self._places = None if places is None else places.tolist()
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(self, model: Any, *tokens: Any, **options: Any) -> Any:
        if self._places is None or options.get("compute_aux_loss") or not can_share(model):
            return super()._get_per_token_logps_and_entropies(model, *tokens, **options)
        input_ids, attention_mask, num_completion_tokens, *rest = tokens
        if self._left_out:
            attention_mask = attention_mask.clone()
            attention_mask[list(self._left_out), -num_completion_tokens:] = 0
        fields = {name: value for name, value in options.items() if name not in _SETTINGS}
        batch = Batch(input_ids, attention_mask, num_completion_tokens, self._places, fields)
        batch_size = (rest[0] if rest else options.get("batch_size")) or len(input_ids)
        with self.accelerator.autocast():
            found = score_completions(model, batch, batch_size, with_entropy=options.get("compute_entropy", False))
        return (*found, None)
