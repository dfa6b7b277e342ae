"""Opening the images of a row: paths relative to the rows file, or `data:` URIs.

Rows come from other people, so a path may not leave the data folder, and a small file may not unpack into a
huge picture. What an image means to a model (resizing, patches) is its processor's business.
"""

import base64
import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from protocol.errors import UserError

MAX_PIXELS = 64_000_000


class ImageError(UserError):
    """An image that cannot be used; the message names it and the reason."""


def open_image(source: str, root: Path) -> Image.Image:
    """Decode an image to RGB, upright as its EXIF orientation says.

    Args:
        source: a path relative to `root`, or a `data:` URI with base64 content.
        root: the folder that `source` may not leave.

    Raises:
        ImageError: the file is missing, outside `root`, not an image, or larger than `MAX_PIXELS`.
    """
    name = _shortened(source)
    content = read_image(source, root)
    try:
        with warnings.catch_warnings():
            # Pillow only warns between one and two times its own limit; ours is lower and strict.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content)) as image:
                if image.width * image.height > MAX_PIXELS:
                    size = f"{image.width} x {image.height}"
                    raise ImageError(f"{name}: {size} pixels, more than the limit of {MAX_PIXELS:,}")
                return ImageOps.exif_transpose(image).convert("RGB")
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more pixels than the limit of {MAX_PIXELS:,}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image (expected PNG, JPEG, WebP or another raster format)") from None
    except (OSError, SyntaxError, EOFError) as error:  # what Pillow's decoders raise on damaged content
        raise ImageError(f"{name}: damaged image ({error})") from None


def read_image(source: str, root: Path) -> bytes:
    """Return the encoded bytes of an image, not yet known to be one.

    Raises:
        ImageError: the file is missing or outside `root`, or the `data:` URI is broken.
    """
    if source.startswith("data:"):
        return _decode_data_uri(source)
    try:
        path = (root / source).resolve()
        if path.is_relative_to(root.resolve()):
            return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{_shortened(source)}: {reason} (looked in {root})") from None
    raise ImageError(f"{_shortened(source)}: leaves the data folder; images are given relative to their rows file")


def _decode_data_uri(source: str) -> bytes:
    header, comma, payload = source.partition(",")
    if not comma or not header.endswith(";base64"):
        raise ImageError(f"{_shortened(source)}: expected data:image/...;base64,...")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError as error:
        raise ImageError(f"{_shortened(source)}: broken base64 ({error})") from None


def _shortened(source: str) -> str:
    return repr(source if len(source) <= 80 else source[:60] + "...")
