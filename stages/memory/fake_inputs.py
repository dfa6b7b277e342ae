"""Builds the inputs of a model by its family: real token ids and masks, and pictures without storage."""

from typing import Any

import torch

from eval.families import family_of
from eval.families.room import MOST_CELLS
from eval.families.scaling import AREA, FIXED, GRIDS, SPLIT, TILES, merged_side, side_of
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
    if getattr(config, "vision_config", None) is None or not image_tokens:
        return inputs
    add = _PICTURES.get(family_of(config).scaling)
    if add is None:
        raise StageError(f"--trace: the pictures of {config.model_type} models are not known here")
    return inputs | add(config, ids, image_tokens)


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


def _tiles(config: Any, ids: torch.Tensor, image_tokens: int) -> torch.Tensor:
    """Return the tiles of each row, of shape (rows, tiles, channels, side, side), and write their tokens into `ids`."""
    vision = config.vision_config
    side = side_of(vision.image_size)
    tokens = (side // side_of(vision.patch_size) // merged_side(config)) ** 2
    count = max(1, image_tokens // tokens)
    ids[:, 1 : 1 + count * tokens] = config.image_token_id
    return torch.empty(len(ids), count, getattr(vision, "num_channels", 3), side, side)


def _split_pictures(config: Any, ids: torch.Tensor, image_tokens: int) -> dict[str, Any]:
    """Add pictures as SmolVLM takes them, each tile with a mask of its pixels."""
    pixels = _tiles(config, ids, image_tokens)
    rows, count, _, *sides = pixels.shape
    return {"pixel_values": pixels, "pixel_attention_mask": torch.ones(rows, count, *sides, dtype=torch.long)}


def _tiled_pictures(config: Any, ids: torch.Tensor, image_tokens: int) -> dict[str, Any]:
    """Add pictures as InternVL takes them: the tiles of all rows in one tensor."""
    return {"pixel_values": _tiles(config, ids, image_tokens).flatten(0, 1)}


def _gridded_pictures(config: Any, ids: torch.Tensor, image_tokens: int) -> dict[str, Any]:
    """Add pictures as LLaVA-OneVision takes them: one on the largest grid that fits, or several of one tile each."""
    vision = config.vision_config
    side = vision.image_size // vision.patch_size
    grids = {
        side**2 + rows * side * (columns * side + 1): (rows, columns)
        for rows, columns in ((h // vision.image_size, w // vision.image_size) for h, w in config.image_grid_pinpoints)
        if rows * columns <= MOST_CELLS
    }
    fitting = [tokens for tokens in grids if tokens <= image_tokens]
    if fitting:
        (rows, columns), pictures = grids[max(fitting)], 1
        sides, tiles, filled = (rows * vision.image_size, columns * vision.image_size), rows * columns + 1, max(fitting)
    else:
        pictures = max(2, image_tokens // (side**2 + 1))  # a newline ends the tokens of a tile
        sides, tiles, filled = (vision.image_size, vision.image_size), 1, pictures * (side**2 + 1)
    ids[:, 1 : 1 + filled] = config.image_token_id
    shape = (len(ids) * pictures, tiles, vision.num_channels, vision.image_size, vision.image_size)
    return {
        "pixel_values": torch.empty(shape),
        "image_sizes": torch.tensor([sides] * len(ids) * pictures),
        "batch_num_images": torch.tensor([pictures] * len(ids)),
    }


_PICTURES = {
    AREA: _grid_pictures,
    FIXED: _whole_pictures,
    SPLIT: _split_pictures,
    TILES: _tiled_pictures,
    GRIDS: _gridded_pictures,
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
