"""Builds the pocket model before training: a real Qwen2.5-VL with its real processor, at a thousandth of the size.

Only sizes differ from the published 3B model. The classes, the vision tower with its merger, the rotary positions in
three axes and the chat template are the same. So the same code trains both models.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from data.pocket.pictures.scenes import SIDE
from stages.pocket.tokenizer import END_OF_TURN, PAD, VISION_TOKENS, chat_template


@dataclass(frozen=True, slots=True)
class PocketSizes:
    """The sizes of the model, which has two to four million parameters."""

    hidden: int = 192
    """Width of the language model."""
    layers: int = 4
    heads: int = 4
    intermediate: int = 512
    """Width of the language model's feed-forward layers."""
    vision_hidden: int = 96
    vision_depth: int = 3
    vision_heads: int = 4
    vision_intermediate: int = 256
    max_positions: int = 2048
    """Longest prompt with its response, in tokens."""


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLProcessor:
    """Return the processor; it scales any picture to about the number of patches of the pocket world's pictures."""
    pixels = SIDE * SIDE
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=pixels, max_pixels=pixels),
        video_processor=Qwen2VLVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=chat_template(),
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, seed: int, sizes: PocketSizes
) -> Qwen2_5_VLForConditionalGeneration:
    """Return the model with random weights in float32."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(_config(tokenizer, sizes))
    token_ids = {"eos_token_id": model.config.text_config.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    for name, token_id in token_ids.items():
        setattr(model.generation_config, name, token_id)
    return model


def _config(tokenizer: PreTrainedTokenizerFast, sizes: PocketSizes) -> Qwen2_5_VLConfig:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (PAD, END_OF_TURN, *VISION_TOKENS.values())}
    return Qwen2_5_VLConfig(
        text_config=_text_config(sizes, len(tokenizer), ids),
        vision_config=_vision_config(sizes),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        dtype="float32",
    )


def _text_config(sizes: PocketSizes, vocabulary_size: int, ids: dict[str, int]) -> dict[str, Any]:
    # Time, height and width share the rotary frequencies of a head: half of the head's width in total.
    axis = sizes.hidden // sizes.heads // 2 // 3
    time_axis = sizes.hidden // sizes.heads // 2 - 2 * axis
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.heads,
        "max_position_embeddings": sizes.max_positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [time_axis, axis, axis]},
        # About 1 / sqrt(hidden). The published 0.02 fits a width of 2048. Here attention would start nearly uniform and
        # would take several times as long to learn to look words up.
        "initializer_range": 0.06,
        "bos_token_id": None,
        "eos_token_id": ids[END_OF_TURN],
        "pad_token_id": ids[PAD],
        "tie_word_embeddings": True,
    }


def _vision_config(sizes: PocketSizes) -> dict[str, Any]:
    return {
        "depth": sizes.vision_depth,
        "hidden_size": sizes.vision_hidden,
        "intermediate_size": sizes.vision_intermediate,
        "num_heads": sizes.vision_heads,
        "out_hidden_size": sizes.hidden,
        "fullatt_block_indexes": list(range(sizes.vision_depth)),
    }
