"""The pictures of training rows: facts about each, without keeping its pixels, and how a data set decodes them.

All pictures are opened by `data/pictures/images.py`. So training and evaluation see the same pixels.
"""

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets import Image
from datasets.features.features import register_feature

from data.pictures.images import decode_picture, open_picture
from data.pictures.pixels import GROUND


@dataclass(frozen=True, slots=True)
class PictureFact:
    """Facts about a picture that was decoded."""

    width: int
    height: int
    """Width and height in pixels, after the picture was turned upright."""
    notes: tuple[str, ...]
    """Changes that were made to it (`data.pictures.pixels.Picture.notes`)."""
    is_blank: bool


def picture_fact(source: str, root: Path, ground: str = GROUND) -> PictureFact:
    """Decode a picture and return facts about it. It is decoded again only if its file has changed.

    Raises:
        ImageError: it cannot be used.
    """
    if source.startswith("data:"):
        return _decoded(source, root, ground, None)
    try:
        status = (root / source).stat()
    except (OSError, ValueError):
        return _decoded.__wrapped__(source, root, ground, None)  # this says what is wrong
    return _decoded(source, root, ground, (status.st_mtime_ns, status.st_size, status.st_ino))


@lru_cache(maxsize=1 << 16)
def _decoded(source: str, root: Path, ground: str, _version: tuple[int, ...] | None) -> PictureFact:
    picture = open_picture(source, root, ground)
    return PictureFact(picture.image.width, picture.image.height, picture.notes, picture.is_blank)


def notes_of(facts: Iterable[PictureFact]) -> dict[str, int]:
    """Return the number of pictures with each kind of change, the most frequent first."""
    return dict(Counter(note for fact in facts for note in fact.notes).most_common())


@dataclass
class ShownImage(Image):
    """A column of pictures that `data/pictures/images.py` decodes; `datasets` would drop transparency and 16 bits."""

    ground: str = GROUND
    _type: str = field(default="ShownImage", init=False, repr=False)

    def decode_example(self, value: Any, token_per_repo_id: Any = None) -> Any:
        """Return a picture as models are shown it."""
        del token_per_repo_id
        if not isinstance(value, dict):
            return value  # decoded already
        content = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
        return decode_picture(content, value["path"] or "a picture of the rows", self.ground).image


with warnings.catch_warnings():
    # `datasets` calls this experimental. Without it, a data set that was saved and loaded has lost this type of column.
    warnings.simplefilter("ignore", UserWarning)
    register_feature(ShownImage, "ShownImage")
