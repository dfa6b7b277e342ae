"""How many tokens a picture becomes at the most under a bound on its pixels, by a model's configuration alone.

`scaling.py` counts a picture of known size with the processor's own methods. Here a recipe is being sized, and there is
neither picture nor processor. The picture is taken to be the worst of all shapes; a test compares both ways.
"""

from math import isqrt
from typing import Any, NamedTuple

from eval.families.scaling import AREA, FIXED, GRIDS, SPLIT, TILES, Scaling, merged_side, side_of

_MOST_UNITS = 4096
"""So many of the smallest bound are tried."""
_MOST_CELLS = 9
"""Cells of a grid whose tokens LLaVA-OneVision keeps (`anyres_max_9`); of more, so many are interpolated."""


class Largest(NamedTuple):
    """The largest pictures that take no more than some tokens, or the smallest where even those take more."""

    max_pixels: int | None
    """The bound; None where the family takes none."""
    tokens: int
    """What a picture takes then, at the most."""


def most_tokens(scaling: Scaling, config: Any, pixels: int) -> int:
    """Return the most tokens of a picture that is bounded to so many pixels.

    Args:
        scaling: of the model's family.
        config: the model's configuration.
        pixels: the bound; one below the smallest that the family takes counts as that.
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
        return side**2 + min(cells, _MOST_CELLS) * side**2 + cells * side
    return side**2 * (cells + 1 if cells > 1 else 1)


def largest_picture(scaling: Scaling, config: Any, tokens: int) -> Largest:
    """Return the bound on pixels that makes the most of so many tokens.

    Args:
        scaling: of the model's family.
        config: the model's configuration.
        tokens: what a picture may take.
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
    """Return the pixels a side that become one token."""
    return side_of(config.vision_config.patch_size) * merged_side(config)


_TILED = (SPLIT, TILES, GRIDS)
