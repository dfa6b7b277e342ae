"""Stores the pictures of a report as `data:` URIs: each content once, scaled down, in the shorter format."""

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from PIL import Image

from data.pictures.images import ImageError, open_image

_SIDES = ((200, 320), (500, 224), (1_000_000, 160))
"""Up to this number of pictures, their longest side has so many pixels. So a report stays small for any data set."""
_MAX_COLOURS = 256


class Album:
    """Pictures by name; equal contents are stored once."""

    def __init__(self, shown: Iterable[tuple[str, str]], root: Path) -> None:
        """Read pictures.

        Args:
            shown: pictures (paths relative to `root`, or `data:` URIs), each with its background colour.
            root: the folder of the rows that name the pictures.
        """
        wanted = list(dict.fromkeys(shown))
        side = next(side for count, side in _SIDES if len(wanted) <= count)
        self.uris: list[str] = []
        """Distinct pictures."""
        self._place_by_shown: dict[tuple[str, str], int | None] = {}
        place_by_uri: dict[str, int] = {}
        for name, ground in wanted:
            uri = picture_uri(name, root, side, ground)
            if uri is not None and uri not in place_by_uri:
                place_by_uri[uri] = len(self.uris)
                self.uris.append(uri)
            self._place_by_shown[name, ground] = None if uri is None else place_by_uri[uri]

    def place(self, name: str, ground: str) -> int | None:
        """Return the index of a picture in `uris`; None if it could not be read."""
        return self._place_by_shown[name, ground]


def picture_uri(name: str, root: Path, longest_side: int, ground: str) -> str | None:
    """Return a picture as a `data:` URI, scaled down if it is large; None if it cannot be read."""
    try:
        image = open_image(name, root, ground)
    except ImageError:
        return None  # a report outlives its data folder; the page says that the picture is missing
    image.thumbnail((longest_side, longest_side))
    kind, content = _encoding(image)
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")


def _encoding(image: Image.Image) -> tuple[str, bytes]:
    """Encode a picture: as a lossless palette PNG if it has few colours, and as WebP if that is much shorter."""
    webp = _encoded(image, "WEBP", quality=72, method=2)
    if image.getcolors(_MAX_COLOURS) is not None:
        palette = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=_MAX_COLOURS)
        png = _encoded(palette, "PNG", optimize=True)
        if len(png) <= 2 * len(webp):
            return "png", png
    return "webp", webp


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()
