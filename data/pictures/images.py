"""Opening the images of a row: paths relative to the rows file, or `data:` URIs.

Training, policies, judges, endpoints and reports all open pictures here, so that they are shown the same pixels
(`data/pictures/pixels.py`). Rows come from other people, so a path may not leave the data folder, and a small file may
not unpack into a huge picture. The processor of a model does the rest (resizing, patches).
"""

import base64
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from stat import S_ISREG

from PIL import Image, ImageOps, UnidentifiedImageError

from data.pictures.pixels import GROUND, Picture, to_picture
from protocol.errors import UserError

MAX_PIXELS = 64_000_000
MAX_BYTES = 64_000_000
"""Of an encoded image."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""The formats that are decoded: raster formats whose decoders start no other program."""

_DAMAGED = (OSError, SyntaxError, EOFError, ValueError, OverflowError, LookupError, TypeError, struct.error)
"""What Pillow's decoders raise on damaged content."""


class ImageError(UserError):
    """An image that cannot be used; the message names it and the reason."""


def open_image(source: str, root: Path, ground: str = GROUND) -> Image.Image:
    """Decode an image to 8-bit RGB as `data.pictures.pixels` shows it: upright, on a ground, the first frame.

    Args:
        source: a path relative to `root`, or a `data:` URI with base64 content.
        root: the folder that `source` may not leave.
        ground: name of the colour that transparency is put on.

    Raises:
        ImageError: the file is missing, outside `root`, not an image, or larger than `MAX_BYTES` or `MAX_PIXELS`.
    """
    return open_picture(source, root, ground).image


def open_picture(source: str, root: Path, ground: str = GROUND) -> Picture:
    """Decode an image as `open_image` does, and say what was done to it.

    Raises:
        ImageError: as `open_image` does.
    """
    return decode_picture(read_image(source, root), source, ground)


def decode_picture(content: bytes, source: str, ground: str = GROUND) -> Picture:
    """Decode the bytes of an image as `open_image` does; `source` names them in errors.

    Only `FORMATS` are tried, by what the bytes say and not by the name: Pillow would hand PostScript to an interpreter.

    Raises:
        ImageError: not an image of these formats, damaged, or larger than `MAX_PIXELS`.
    """
    name = _shortened(source)
    try:
        with _opened(content, name) as image:
            return to_picture(image, ground)
    except ImageError:
        raise
    except _DAMAGED as error:
        raise ImageError(f"{name}: damaged image ({error})") from None


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Image.Image]:
    """Open the bytes of an image of `FORMATS`, small enough.

    Raises:
        ImageError: not an image of these formats, or larger than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns between one and two times its own limit; ours is lower and strict.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                _refuse_bomb(image, name)
                yield image
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more pixels than the limit of {MAX_PIXELS:,}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image (expected one of {', '.join(FORMATS)})") from None


def _refuse_bomb(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        raise ImageError(f"{name}: {size} pixels, more than the limit of {MAX_PIXELS:,}")


def data_uri(content: bytes, ground: str = GROUND, *, name: str = "the picture") -> str:
    """Return the bytes of an image as a `data:` URI of what `portable` makes of them.

    Raises:
        ImageError: as `portable` does.
    """
    kind, content = portable(content, ground, name=name)
    return f"data:{Image.MIME[kind]};base64,{base64.b64encode(content).decode()}"


def portable(content: bytes, ground: str = GROUND, *, name: str = "the picture") -> tuple[str, bytes]:
    """Return the format and the bytes of an image that every server reads and shows as `open_image` does.

    Ordinary PNG and JPEG files keep their bytes; anything else is written as PNG.

    Raises:
        ImageError: not an image of `FORMATS`, damaged, or too large.
    """
    picture = decode_picture(content, name, ground)
    kind = format_of(content, name)
    if picture.notes or kind not in {"PNG", "JPEG"}:
        buffer = BytesIO()
        picture.image.save(buffer, format="PNG")
        kind, content = "PNG", buffer.getvalue()
    return kind, content


def still(content: bytes) -> tuple[str, bytes]:
    """Return the format and the bytes of an image; of a moving one, its first frame as PNG, transparency kept.

    Raises:
        ImageError: not an image of `FORMATS`, damaged, or too large.
    """
    kind = format_of(content, "the picture")
    picture = decode_picture(content, "the picture")
    with _opened(content, "the picture") as image:
        if kind == "JPEG" or not getattr(image, "is_animated", False):
            return kind, content
        upright = ImageOps.exif_transpose(image)
        frame = upright.convert("RGBA") if upright.has_transparency_data else picture.image
    buffer = BytesIO()
    frame.save(buffer, format="PNG")
    return "PNG", buffer.getvalue()


def ground_of(policy: object) -> str:
    """Return the ground that a policy's pictures are put on, so that a judge sees what the policy saw."""
    return str(getattr(policy, "picture_ground", GROUND))


def format_of(content: bytes, name: str) -> str:
    """Return which of `FORMATS` the bytes of an image are; only the header is read.

    Raises:
        ImageError: none of them.
    """
    try:
        with _opened(content, name) as image:
            return "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG that more follow
    except ImageError:
        raise
    except _DAMAGED as error:
        raise ImageError(f"{_shortened(name)}: damaged image ({error})") from None


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


def portable_uri(source: str, root: Path, ground: str = GROUND) -> str:
    """Return an image as a `data:` URI that servers read (`data_uri`).

    Args:
        source: as `open_image` takes it.
        root: the folder that `source` may not leave.
        ground: name of the colour that transparency is put on.

    Raises:
        ImageError: as `open_image` does.
    """
    return data_uri(read_image(source, root), ground, name=source)


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
    if len(payload) // 4 * 3 > MAX_BYTES + 3:  # before as many bytes again are made of it
        raise ImageError(f"{_shortened(source)}: {len(payload) // 4 * 3:,} bytes, more than the limit of {MAX_BYTES:,}")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError as error:
        raise ImageError(f"{_shortened(source)}: broken base64 ({error})") from None


def _shortened(source: str) -> str:
    return repr(source if len(source) <= 80 else source[:60] + "...")
