"""Images in a check: decoded, distinguished by their pixels, and recognised when they are nearly the same.

Two pictures are nearly the same if their perceptual hashes are close *and* no part of them differs visibly: the hash
knows shapes in grey only, and in templated pictures a colour may be the whole difference.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageChops

from data.checks.facts import ImageFact
from data.pictures.images import open_image

HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2
MAX_DISTANCE = 12
"""Bits in which the hashes of nearly equal pictures differ at most."""
_PARTS = 16
"""A picture is compared in so many parts along each side."""
MAX_PART_DIFFERENCE = 28
"""Largest difference of a part's mean colour, 0..255, that recompression or another brightness may make."""


@lru_cache(maxsize=1 << 16)
def image_fact(source: str, root: Path) -> ImageFact:
    """Return the facts of an image; the files must not change meanwhile.

    Raises:
        ImageError: it cannot be used.
    """
    image = open_image(source, root)
    pixels = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()[:8]
    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return ImageFact(source, pixels, int.from_bytes(np.packbits(bits).tobytes(), "big"))


def is_near(one: int, other: int) -> bool:
    """Whether two perceptual hashes are close."""
    return (one ^ other).bit_count() <= MAX_DISTANCE


def look_alike(one: str, one_root: Path, other: str, other_root: Path) -> bool:
    """Whether no part of two images differs visibly.

    Raises:
        ImageError: one cannot be used.
    """
    parts = [
        open_image(source, root).resize((_PARTS, _PARTS), Image.Resampling.BOX)
        for source, root in ((one, one_root), (other, other_root))
    ]
    return int(np.asarray(ImageChops.difference(*parts)).max()) <= MAX_PART_DIFFERENCE
