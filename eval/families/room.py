"""Computes the maximum number of tokens of a picture under a bound on its pixels, from a model's configuration.

`scaling.py` counts the tokens of a picture of known size with the processor's methods. This module serves `tritrace
fit`, which has neither picture nor processor. It assumes the worst shape of a picture. A test compares the two.
"""

from math import isqrt
from typing import Any, NamedTuple

from eval.families.scaling import AREA, FIXED, GRIDS, SPLIT, TILES, Scaling, merged_side, side_of

_MOST_UNITS = 4096
"""Maximum number of tiles that are tried."""
MOST_CELLS = 9
"""LLaVA-OneVision keeps the tokens of this many cells (`anyres_max_9`); a larger grid is interpolated to as many."""


class Largest(NamedTuple):
    """A bound on pixels that fits into a number of tokens, or the smallest bound if even that does not fit."""

    max_pixels: int | None
    """The bound; None if the family accepts none."""
    tokens: int
    """Maximum number of tokens of a picture under this bound."""


def most_tokens(scaling: Scaling, config: Any, pixels: int) -> int:
    """Return the maximum number of tokens of a picture under a bound on its pixels.

    Args:
        scaling: of the model's family.
        config: the model's configuration.
        pixels: the bound; a value below the smallest one of the family counts as the smallest.
    """
    if scaling is FIXED:
        return int(config.mm_tokens_per_image)
    if scaling not in _TILED:
        return pixels // _patch_side(config) ** 2
    tile = side_of(config.vision_config.image_size)
    side = tile // _patch_side(config)
    cells = max(1, pixels // tile**2)
    if scaling is SPLIT:
        cells = isqrt(cells) ** 2
    if scaling is GRIDS:  # each line of the grid ends in a token, and one cell is a grid too
        return side**2 + min(cells, MOST_CELLS) * side**2 + cells * side
    return side**2 * (cells + 1 if cells > 1 else 1)


def largest_picture(scaling: Scaling, config: Any, tokens: int) -> Largest:
    """Return the largest bound on pixels that fits into a number of tokens.

    Args:
        scaling: of the model's family.
        config: the model's configuration.
        tokens: maximum number of tokens of a picture.
    """
    if scaling is AREA:
        return Largest(tokens * _patch_side(config) ** 2, tokens)
    if scaling not in _TILED:
        return Largest(None, most_tokens(scaling, config, tokens * _patch_side(config) ** 2))
    unit = side_of(config.vision_config.image_size) ** 2
    largest = Largest(unit, most_tokens(scaling, config, unit))
    for count in range(2, _MOST_UNITS):
        found = most_tokens(scaling, config, count * unit)
        if found > tokens:
            break
        if found > largest.tokens:
            largest = Largest(count * unit, found)
    return largest


def _patch_side(config: Any) -> int:
    """Return the side, in pixels, of the square that becomes one token."""
    return side_of(config.vision_config.patch_size) * merged_side(config)


_TILED = (SPLIT, TILES, GRIDS)
