"""Opening the images of a row: paths relative to the rows file, or `data:` URIs.

Rows come from other people, so a path may not leave the data folder, and a small file may not unpack into a
huge picture. What an image means to a model (resizing, patches) is its processor's business.
"""

import base64
import struct
import warnings
from io import BytesIO
from pathlib import Path
from stat import S_ISREG

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from protocol.errors import UserError

MAX_PIXELS = 64_000_000
MAX_BYTES = 64_000_000
"""Of an encoded image."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded: raster formats whose decoders start no other program."""

_DAMAGED = (OSError, SyntaxError, EOFError, ValueError, OverflowError, LookupError, TypeError, struct.error)
"""What Pillow's decoders raise on damaged content."""


class ImageError(UserError):
    """An image that cannot be used; the message names it and the reason."""


def open_image(source: str, root: Path) -> Image.Image:
    """Decode an image to RGB, upright as its EXIF orientation says; of a moving one, the first picture.

    Args:
        source: a path relative to `root`, or a `data:` URI with base64 content.
        root: the folder that `source` may not leave.

    Raises:
        ImageError: the file is missing, outside `root`, not an image, or larger than `MAX_BYTES` or `MAX_PIXELS`.
    """
    return decode_image(read_image(source, root), source)


def decode_image(content: bytes, source: str) -> Image.Image:
    """Decode the bytes of an image as `open_image` does; `source` names them in errors.

    Only `FORMATS` are tried, by what the bytes say and not by the name: Pillow would hand PostScript to an interpreter.

    Raises:
        ImageError: not an image of these formats, damaged, or larger than `MAX_PIXELS`.
    """
    name = _shortened(source)
    try:
        with warnings.catch_warnings():
            # Pillow only warns between one and two times its own limit; ours is lower and strict.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                _refuse_bomb(image, name)
                return ImageOps.exif_transpose(image).convert("RGB")
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more pixels than the limit of {MAX_PIXELS:,}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image (expected one of {', '.join(FORMATS)})") from None
    except ImageError:
        raise
    except _DAMAGED as error:
        raise ImageError(f"{name}: damaged image ({error})") from None


def _refuse_bomb(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        raise ImageError(f"{name}: {size} pixels, more than the limit of {MAX_PIXELS:,}")


def data_uri(content: bytes) -> str:
    """Return the `data:` URI of the bytes of an image, unchanged; of them only the header is read.

    Raises:
        ImageError: not an image of `FORMATS`.
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as opened:
            kind = Image.MIME[opened.format or ""]
    except (UnidentifiedImageError, *_DAMAGED) as error:
        raise ImageError(f"what should be an image is no image: {error}") from None
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def read_image(source: str, root: Path) -> bytes:
    """Return the encoded bytes of an image, not yet known to be one.

    Raises:
        ImageError: the file is missing, outside `root`, no regular file or larger than `MAX_BYTES`, or the `data:`
            URI is broken.
    """
    if source.startswith("data:"):
        return _decode_data_uri(source)
    try:
        path = (root / source).resolve()
        if path.is_relative_to(root.resolve()):
            return _read_bounded(path, _shortened(source))
    except ImageError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a null byte in the name; links that go in circles
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{_shortened(source)}: {reason} (looked in {root})") from None
    raise ImageError(f"{_shortened(source)}: leaves the data folder; images are given relative to their rows file")


def portable_uri(source: str, root: Path) -> str:
    """Return an image as a `data:` URI that servers read: as it is where it is upright PNG or JPEG, else as PNG.

    Args:
        source: as `open_image` takes it.
        root: the folder that `source` may not leave.

    Raises:
        ImageError: as `open_image` does.
    """
    content = read_image(source, root)
    picture = decode_image(content, source)
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        is_upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        if is_upright and image.format in {"PNG", "JPEG"}:
            return data_uri(content)
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return data_uri(buffer.getvalue())


def _read_bounded(path: Path, name: str) -> bytes:
    status = path.stat()
    if not S_ISREG(status.st_mode):  # a pipe would never end, a device neither
        raise ImageError(f"{name}: not a regular file")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"{name}: {status.st_size:,} bytes, more than the limit of {MAX_BYTES:,}")
    return path.read_bytes()


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
