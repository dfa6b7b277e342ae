"""Scaling of pictures by processors: sets bounds on pixels, and computes the text that replaces each picture.

A processor replaces a picture in the prompt with a run of tokens. Their number depends only on the picture's size. This
module computes it without decoding or scaling a pixel: it calls the processor's own `replace_image_token` (transformers
5.23). A processor that is not in the table is run on blank pictures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from typing import Any

import numpy as np
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

Size = tuple[int, int]
"""Height and width of a picture, in pixels."""
Bounds = tuple[int | None, int | None]
"""Minimum and maximum pixels of a picture; None keeps the processor's own value."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """One way to scale pictures."""

    bound: Callable[[Any, Bounds], str | None]
    """Sets bounds on a processor; returns the reason if it cannot, and None otherwise."""
    layout: Callable[[Any, Sequence[Size]], Mapping[str, Any]]
    """Returns the input of `replace_image_token` for pictures of the given sizes."""
    bound_config: Callable[[Any, Bounds], None] = lambda config, bounds: None  # noqa: ARG005
    """Sets the same bounds in the model's configuration, if the model computes the sizes again."""
    targets: Callable[[Any, Sequence[Size]], Sequence[Size]] = lambda processor, sizes: sizes  # noqa: ARG005
    """Returns the sizes after scaling. A picture of that size may replace the original."""


def replacements(scaling: Scaling, processor: Any, sizes: Sequence[Size]) -> list[str]:
    """Return the text that replaces each picture of a row.

    Raises:
        ValueError: the processor rejects a picture of such a size.
    """
    inputs = scaling.layout(processor, sizes)
    return [processor.replace_image_token(inputs, image_idx=place) for place in range(len(sizes))]


def side_of(size: int | Sequence[int]) -> int:
    """Return the side of a square; a configuration gives it as one number, or as height and width."""
    return int(size) if isinstance(size, int) else int(size[0])


def merged_side(config: Any) -> int:
    """Return how many patches along each side are merged into one token, from a vision-language model's configuration.

    Families state it in different ways: as a factor, as the remaining share of the side, or as the number of tokens of
    every picture.
    """
    vision = config.vision_config
    if side := getattr(vision, "spatial_merge_size", None) or getattr(config, "scale_factor", None):
        return int(side)
    if share := getattr(config, "downsample_ratio", None):
        return round(1 / float(share))
    if count := getattr(config, "mm_tokens_per_image", None):
        return side_of(vision.image_size) // side_of(vision.patch_size) // isqrt(int(count))
    return 1


def _bound_area(processor: Any, bounds: Bounds) -> None:
    # The values of Qwen's `size` are areas, despite their names.
    least, most = bounds
    size = dict(processor.image_processor.size)
    named = {"shortest_edge": least, "longest_edge": most}
    size |= {name: pixels for name, pixels in named.items() if pixels is not None}
    processor.image_processor.size = type(processor.image_processor.size)(**size)


def _area_layout(processor: Any, sizes: Sequence[Size]) -> Mapping[str, Any]:
    patches = [processor.image_processor.get_number_of_image_patches(*size) for size in sizes]
    return {"image_grid_thw": np.array([[1, 1, count] for count in patches])}


def _area_targets(processor: Any, sizes: Sequence[Size]) -> Sequence[Size]:
    images = processor.image_processor
    least, most = images.size["shortest_edge"], images.size["longest_edge"]
    step = images.patch_size * images.merge_size
    return [smart_resize(*size, factor=step, min_pixels=least, max_pixels=most) for size in sizes]


def _bound_split(processor: Any, bounds: Bounds) -> str | None:
    least, most = bounds
    if least is not None:
        return "scales every picture up to its longest edge; leave out min_pixels"
    tile = processor.image_processor.max_image_size["longest_edge"]
    if most is not None:
        if most < tile**2:
            return _too_small(tile, most)
        size = processor.image_processor.size
        processor.image_processor.size = type(size)(longest_edge=isqrt(most) // tile * tile)
    return None


def _split_layout(processor: Any, sizes: Sequence[Size]) -> Mapping[str, Any]:
    splits = [processor.image_processor.get_number_of_image_patches(*size) for size in sizes]
    return {"rows": [[rows for _, rows, _ in splits]], "cols": [[columns for *_, columns in splits]]}


def _bound_fixed(processor: Any, bounds: Bounds) -> str:  # noqa: ARG001
    count = processor.image_seq_length
    return f"makes {count} tokens of every picture, whatever its size; leave out min_pixels and max_pixels"


def _fixed_layout(processor: Any, sizes: Sequence[Size]) -> Mapping[str, Any]:  # noqa: ARG001
    return {"num_crops": [0] * len(sizes)}


def _bound_tiles(processor: Any, bounds: Bounds) -> str | None:
    least, most = bounds
    images = processor.image_processor
    tile = images.size["height"] * images.size["width"]
    if most is not None:
        if most < tile:
            return _too_small(images.size["height"], most)
        images.max_patches = most // tile
    if least is not None:
        images.min_patches = min(ceil(least / tile), images.max_patches)
    return None


def _tiles_layout(processor: Any, sizes: Sequence[Size]) -> Mapping[str, Any]:
    options = {"crop_to_patches": True}  # the processor's own name
    return {"num_patches": [processor.image_processor.get_number_of_image_patches(*size, options) for size in sizes]}


def _bound_grids(processor: Any, bounds: Bounds) -> str | None:
    images = processor.image_processor
    grids = _within(images.image_grid_pinpoints, bounds)
    if not grids:
        areas = sorted(height * width for height, width in images.image_grid_pinpoints)
        return f"has grids of {areas[0]:,} to {areas[-1]:,} pixels, none within the bounds"
    images.image_grid_pinpoints = grids
    return None


def _bound_grids_of(config: Any, bounds: Bounds) -> None:
    config.image_grid_pinpoints = _within(config.image_grid_pinpoints, bounds)


def _within(grids: Sequence[Sequence[int]], bounds: Bounds) -> list[list[int]]:
    least, most = bounds
    return [list(grid) for grid in grids if (least or 0) <= grid[0] * grid[1] <= (most or grid[0] * grid[1])]


def _grids_layout(processor: Any, sizes: Sequence[Size]) -> Mapping[str, Any]:
    size = processor.image_processor.size
    side = size.get("shortest_edge") or size["height"]
    shape_alone = np.empty((3, side, side), dtype=np.uint8)
    return {"batch_num_images": [len(sizes)], "image_sizes": list(sizes), "pixel_values": [[shape_alone]]}


def _bound_unknown(processor: Any, bounds: Bounds) -> str:  # noqa: ARG001
    return "its image processor has no bounds on pixels that are known here; leave out min_pixels and max_pixels"


def _blank_layout(processor: Any, sizes: Sequence[Size]) -> Mapping[str, Any]:
    blank = [Image.new("RGB", (width, height)) for height, width in sizes]
    options = processor._merge_kwargs(return_tensors="np")["images_kwargs"]  # noqa: SLF001
    inputs: Mapping[str, Any] = processor.image_processor([blank], **options)
    return inputs


def _too_small(side: int, most: int) -> str:
    return f"cuts pictures into tiles of {side} x {side}; max_pixels is {most:,}, give {side**2:,} or more"


AREA = Scaling(_bound_area, _area_layout, targets=_area_targets)
"""Qwen: any size between two areas, in steps of a merged patch."""
SPLIT = Scaling(_bound_split, _split_layout)
"""SmolVLM: scales to a longest edge and splits into tiles; the whole picture is an additional tile."""
FIXED = Scaling(_bound_fixed, _fixed_layout)
"""Gemma 3: one size."""
TILES = Scaling(_bound_tiles, _tiles_layout)
"""InternVL: uses the tile grid that fits the picture's shape; the whole picture is an additional tile."""
GRIDS = Scaling(_bound_grids, _grids_layout, _bound_grids_of)
"""LLaVA-OneVision: puts a single picture on the best-fitting grid; gives each of several pictures one tile."""
UNKNOWN = Scaling(_bound_unknown, _blank_layout)
"""Any other processor."""
