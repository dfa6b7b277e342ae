"""Builds the inputs of a model by its family: real token ids and masks, and pictures without storage."""

from typing import Any

import torch

from stages.errors import StageError


def model_inputs(config: Any, sequences: int, tokens: int, image_tokens: int) -> dict[str, Any]:
    """Return the inputs for sequences with one picture each, in TRL's format.

    Args:
        config: the model's configuration.
        sequences: rows of the batch, all of one length.
        tokens: tokens of a row, with image tokens.
        image_tokens: tokens of its picture; 0 for none.

    Raises:
        StageError: the family's inputs are not known here.
    """
    ids = torch.zeros(sequences, tokens, dtype=torch.long)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    vision = getattr(config, "vision_config", None)
    if vision is None or not image_tokens:
        return inputs
    if hasattr(config, "mm_tokens_per_image"):
        return inputs | _whole_pictures(config, ids, image_tokens)
    if not hasattr(vision, "spatial_merge_size") or not hasattr(vision, "temporal_patch_size"):
        raise StageError(f"--trace: the pictures of {config.model_type} models are not known here")
    return inputs | _grid_pictures(config, ids, image_tokens)


def _grid_pictures(config: Any, ids: torch.Tensor, image_tokens: int) -> dict[str, Any]:
    """Add pictures in the format of Qwen's families: rows of patches and a nearly square grid."""
    vision, sequences = config.vision_config, len(ids)
    height = next(side for side in range(int(image_tokens**0.5), 0, -1) if image_tokens % side == 0)
    grid = [1, height * vision.spatial_merge_size, image_tokens // height * vision.spatial_merge_size]
    ids[:, 1 : 1 + image_tokens] = config.image_token_id
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    return {
        "pixel_values": torch.empty(sequences * grid[1] * grid[2], values),
        "image_grid_thw": torch.tensor([grid] * sequences),
        "mm_token_type_ids": (ids == config.image_token_id).long(),
    }


def _whole_pictures(config: Any, ids: torch.Tensor, image_tokens: int) -> dict[str, Any]:
    """Add pictures as Gemma 3 takes them: all of one size, each in a block of tokens that see each other."""
    count, side = image_tokens // config.mm_tokens_per_image, config.vision_config.image_size
    for place in range(count):
        first = 1 + place * (config.mm_tokens_per_image + 1)
        ids[:, first : first + config.mm_tokens_per_image] = config.image_token_id
    return {
        "pixel_values": torch.empty(len(ids) * count, config.vision_config.num_channels, side, side),
        "token_type_ids": (ids == config.image_token_id).long(),
    }


def next_inputs(config: Any, ids: torch.Tensor, tokens: int) -> dict[str, Any]:
    """Return the inputs for one more token per sequence; `tokens` is the new length."""
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    axes = (3,) if "mrope_section" in rope else ()
    return {
        "input_ids": ids,
        "attention_mask": torch.ones(len(ids), tokens, dtype=torch.long),
        "position_ids": torch.full((*axes, len(ids), 1), tokens - 1),
    }
