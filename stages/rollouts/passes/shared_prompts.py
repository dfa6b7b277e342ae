"""Computes a prompt once for its whole group, in sampling and in the passes of the loss.

The responses of a group share their prompt and its pictures, and a causal model computes the same keys and values for
it each time. So the prompt is run once, up to its last token. Its keys and values are repeated for the responses, which
continue from there. This is exact up to rounding, and gradients flow through the repetition.

`can_share` returns False if a model keeps more of a prompt than keys and values, if activations are recomputed in the
backward pass, or if dropout makes two runs of a prompt differ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

from stages.rollouts.passes.picture_counts import takes_picture_counts
from stages.rollouts.sampling.generate import generating_by

TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")
"""Fields with an entry per token; only those of the prompt are used."""


def places_of(prompts: Sequence[Any]) -> list[int]:
    """Number the prompts of a batch; equal neighbours get the same number.

    >>> places_of(["a", "a", "b", "a"])
    [0, 0, 1, 2]
    """
    places = [0]
    for before, after in pairwise(prompts):
        places.append(places[-1] + (before != after))
    return places


def firsts_of(places: Sequence[int]) -> list[int]:
    """Return the index of the first row of each prompt, in the order of their numbers.

    >>> firsts_of([0, 0, 1, 2])
    [0, 2, 3]
    """
    return [places.index(number) for number in sorted(set(places))]


def can_share(model: Any) -> bool:
    """Whether a model, in its current state, can compute a prompt once for several responses."""
    if not isinstance(base := base_of(model), PreTrainedModel) or base.config.is_encoder_decoder:
        return False  # including wrappers for several processes
    if torch.is_grad_enabled() and base.is_activation_checkpointing:
        return False
    layers = DynamicCache(config=base.config).layers
    keeps_keys_alone = all(type(layer) in {DynamicLayer, DynamicSlidingWindowLayer} for layer in layers)
    return keeps_keys_alone and not (model.training and _has_dropout(base))


def base_of(model: Any) -> Any:
    """Return the model inside an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _has_dropout(model: Any) -> bool:
    if getattr(model.config.get_text_config(), "attention_dropout", 0):
        return True
    return any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules())


@dataclass(frozen=True, slots=True)
class Prefix:
    """The state of a model after P prompts of L tokens, without their last token."""

    cache: DynamicCache
    """Keys and values of the first L - 1 tokens."""
    positions: torch.Tensor
    """Positions of all tokens, (..., P, L); some models use several axes for pictures."""

    def repeat(self, places: torch.Tensor, room: int = 0) -> None:
        """Repeat the keys and values of each prompt for its responses.

        Args:
            places: (B), the prompt of each response.
            room: number of tokens to allocate space for; only without a backward pass.
        """
        for number, layer in enumerate(self.cache.layers):
            layer.keys, layer.values = (each.index_select(0, places) for each in (layer.keys, layer.values))
            if room and type(layer) is DynamicLayer:
                self.cache.layers[number] = RoomyLayer(layer, room)

    def positions_from_last(self, places: torch.Tensor, num_more: int) -> torch.Tensor:
        """Return the positions of each prompt's last token and of `num_more` further tokens, (..., B, 1 + num_more)."""
        steps = torch.arange(num_more + 1, device=self.positions.device)
        return self.positions.index_select(-2, places)[..., -1:] + steps


class RoomyLayer(DynamicLayer):
    """A layer of a cache that is written in place; the original copies its whole content for each token."""

    def __init__(self, layer: Any, room: int) -> None:
        """Take the content of another layer, and allocate space for `room` further tokens."""
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self._all_keys, self._all_values = (
            torch.cat([each, each.new_empty(*each.shape[:-2], room, each.shape[-1])], dim=-2)
            for each in (layer.keys, layer.values)
        )
        self.keys, self.values = layer.keys, layer.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the keys and values of further tokens, and return all of them."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self._all_keys.shape[-2]:
            grown: tuple[torch.Tensor, torch.Tensor] = super().update(key_states, value_states, *args, **kwargs)
            return grown
        self._all_keys[..., start:end, :] = key_states
        self._all_values[..., start:end, :] = value_states
        self.keys, self.values = self._all_keys[..., :end, :], self._all_values[..., :end, :]
        return self.keys, self.values


def run_prompts(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, fields: Mapping[str, Any]) -> Prefix:
    """Run P prompts, padded on the left to L tokens, up to their last token.

    Args:
        model: a causal language model, or one with pictures.
        input_ids: (P, L).
        attention_mask: (P, L).
        fields: the pictures as inputs of the model, and token types of L or more tokens.
    """
    base = base_of(model)
    length = input_ids.shape[1]
    fields = {name: value[:, :length] if name in TOKEN_TYPES else value for name, value in fields.items()}
    known = {"input_ids": input_ids, "attention_mask": attention_mask} | fields
    positions = base._prepare_position_ids_for_generation(input_ids, known)  # noqa: SLF001 - what `generate` does
    cache = DynamicCache(config=base.config)
    model(
        input_ids=input_ids[:, :-1],
        attention_mask=attention_mask[:, :-1],
        position_ids=positions[..., :-1],
        past_key_values=cache,
        use_cache=True,
        **({"logits_to_keep": 1} if base._supports_logits_to_keep() else {}),  # noqa: SLF001
        **{name: value[:, :-1] if name in TOKEN_TYPES else value for name, value in fields.items()},
    )
    return Prefix(cache, positions)


@contextmanager
def prompts_run_once(model: Any, places: Sequence[int]) -> Iterator[None]:
    """Make `generate` compute each prompt once and return a response for each place.

    In this context, `model.generate` gets P prompts and returns B rows, which begin with their prompts.
    """
    generate: Callable[..., Any] = model.generate

    def generate_from_prefix(
        *, input_ids: torch.Tensor, attention_mask: torch.Tensor, generation_config: Any, **fields: Any
    ) -> Any:
        index = torch.tensor(places, device=input_ids.device)
        prefix = run_prompts(model, input_ids, attention_mask, fields)
        prefix.repeat(index, room=1 + generation_config.max_new_tokens)
        return generate(
            input_ids=input_ids[index],
            attention_mask=attention_mask[index],
            position_ids=prefix.positions.index_select(-2, index),
            past_key_values=prefix.cache,
            generation_config=generation_config,
        )

    with generating_by(model, generate_from_prefix):
        yield


@dataclass(frozen=True, slots=True)
class Batch:
    """Responses with their prompts, in the form of TRL's own pass: B rows of L + C tokens."""

    input_ids: torch.Tensor
    """Prompts padded on the left, completions on the right."""
    attention_mask: torch.Tensor
    num_completion_tokens: int
    """C."""
    places: Sequence[int]
    """The number of each row's prompt."""
    fields: Mapping[str, Any]
    """Pictures and token types."""

    def lengths(self) -> list[int]:
        """Return the number of loss tokens of each completion; 0 for a row that is not in the loss."""
        mask = self.attention_mask[:, -self.num_completion_tokens :]
        counted: list[int] = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1).tolist()
        return counted

    def score(self, model: Any, rows: Sequence[int]) -> Any:
        """Return the output of a model's fused head for the completions of some rows, up to the longest one.

        Returns:
            An output with `log_probs` and, if the head has it, `entropy`; both have a row for each of `rows`.
        """
        length = self.input_ids.shape[1] - self.num_completion_tokens
        numbers = sorted({self.places[row] for row in rows})
        firsts = [self.places.index(number) for number in numbers]
        index = torch.tensor([numbers.index(self.places[row]) for row in rows], device=self.input_ids.device)
        fields = rows_of_fields(self.fields, firsts)
        counts = fields.pop("num_images", None)
        if counts is not None and takes_picture_counts(base_of(model)):
            fields["batch_num_images"] = counts
        prefix = run_prompts(model, self.input_ids[firsts, :length], self.attention_mask[firsts, :length], fields)
        prefix.repeat(index)
        lengths = self.lengths()
        num_tokens = max(1, *(lengths[row] for row in rows))
        input_ids = self.input_ids[list(rows), : length + num_tokens]
        attention_mask = self.attention_mask[list(rows), : length + num_tokens]
        labels = input_ids.masked_fill(attention_mask == 0, -100)[:, length - 1 :]
        labels[:, 0] = -100
        return model(
            input_ids=input_ids[:, length - 1 :],
            attention_mask=attention_mask,
            position_ids=prefix.positions_from_last(index, num_tokens),
            past_key_values=prefix.cache,
            labels=labels,
            fused_lm_head=True,
        )


def score_completions(
    model: Any, batch: Batch, batch_size: int, *, with_entropy: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the log-probabilities and entropies of a batch's completions, both (B, C), with 0 for masked tokens.

    Rows without a token in the loss are not computed.

    Args:
        model: a model with TRL's fused head.
        batch: the batch.
        batch_size: rows per pass.
        with_entropy: whether to compute the entropies.
    """
    lengths = batch.lengths()
    # A loss without tokens still needs a graph for the backward pass.
    rows = [row for row, length in enumerate(lengths) if length] or [0]
    shape = (len(lengths), batch.num_completion_tokens)
    found = [batch.input_ids.new_zeros(shape, dtype=torch.float32) for _ in range(1 + with_entropy)]
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        outputs = batch.score(model, chunk)
        index = torch.tensor(chunk, device=batch.input_ids.device)
        for number, values in enumerate((outputs.log_probs, outputs.entropy)[: len(found)]):
            padded = torch.nn.functional.pad(values, (0, shape[1] - values.shape[1]))
            found[number] = found[number].to(values.dtype).index_copy(0, index, padded)
    return found[0], found[1] if with_entropy else None


def rows_of_fields(fields: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Return the further model inputs for some rows of a batch; TRL's function assigns the pictures to rows."""
    split = split_pixel_values_by_grid({name: value for name, value in fields.items() if value is not None})
    kept = {
        name: value[list(rows)] if isinstance(value, torch.Tensor) else [value[row] for row in rows]
        for name, value in split.items()
    }
    merged: dict[str, Any] = unsplit_pixel_values_by_grid(kept)
    return {name: value for name, value in merged.items() if name != "num_tiles"}
