"""From a decoded picture to the 8-bit RGB that models and judges are shown, whatever the file held.

Upright by EXIF, the first frame, transparency put on a ground, 16-bit and float values scaled by their range, colours
of an ICC profile turned into sRGB. Pillow's own `convert("RGB")` drops transparency (black words on a transparent
ground become a black picture), cuts 16 bits to white and floats to black, and ignores profiles. Each step that changes
what is seen is noted in words.
"""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageColor, ImageOps

GROUND = "white"
"""The ground under transparency, unless a recipe names another; white, because words are mostly dark."""
_BITS = (8, 12, 16)
"""Possible bits of integer pictures; the fewest that hold the largest value give the range."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture as it is shown, and the changes that this took."""

    image: Image.Image
    """8-bit RGB, upright."""
    notes: tuple[str, ...] = ()
    """What was done, such as "transparency on white"; nothing for an ordinary picture."""
    is_blank: bool = False
    """Whether the ground has the colour of the drawing, so that nothing can be seen."""


@dataclass(slots=True)
class _Notes:
    found: list[str] = field(default_factory=list)

    def add(self, note: str) -> None:
        self.found.append(note)


def is_colour(name: str) -> bool:
    """Whether a text names an opaque colour, such as "white" or "#808080"."""
    try:
        return len(ImageColor.getrgb(name)) == 3
    except ValueError:
        return False


def to_picture(opened: Image.Image, ground: str = GROUND) -> Picture:
    """Return an opened image as it is shown.

    Args:
        opened: by Pillow, at its first frame.
        ground: name of the colour that transparency is put on.

    Raises:
        OSError, ValueError and what else Pillow raises on damaged content.
    """
    notes = _Notes()
    if getattr(opened, "is_animated", False) and opened.format != "MPO":  # MPO: a photograph with its preview
        notes.add("the first of several frames")
    if opened.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        notes.add("turned upright")
    image = ImageOps.exif_transpose(opened)
    profile = image.info.get("icc_profile")
    image = _in_eight_bits(image, notes)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    image = _in_srgb(image, profile, notes)
    if alpha is None or alpha.getextrema() == (255, 255):
        return Picture(image, tuple(notes.found))
    notes.add(f"transparency on {ground}")
    below = Image.new("RGB", image.size, ground)
    below.paste(image, mask=alpha)
    is_blank = alpha.getextrema()[1] != 0 and len(below.getcolors(1) or ()) == 1
    return Picture(below, tuple(notes.found), is_blank=is_blank)


def _in_eight_bits(image: Image.Image, notes: _Notes) -> Image.Image:
    """Return a picture of a mode with 8 bits a channel; an 8-bit one unchanged."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=float(np.finfo(np.float32).max), neginf=0.0)
    low, high = _range_of(values, is_float=image.mode == "F")
    notes.add(f"{'float' if image.mode == 'F' else '16-bit'} values scaled from {low:g} to {high:g}")
    scaled = (np.clip(values, low, high) - low) / (high - low) * 255
    grey = Image.fromarray(np.rint(scaled).astype(np.uint8))
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    return grey


def _range_of(values: np.ndarray[Any, np.dtype[np.float32]], *, is_float: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if is_float:
        if low >= 0 and high <= 1:
            return 0.0, 1.0
        return (0.0, 255.0) if low >= 0 and high <= 255 else (low, high if high > low else low + 1)
    limits = [2**bits - 1 for bits in _BITS]
    if low >= 0 and high <= limits[-1]:
        return 0.0, float(next(limit for limit in limits if high <= limit))
    return low, high if high > low else low + 1


def _in_srgb(image: Image.Image, profile: bytes | None, notes: _Notes) -> Image.Image:
    """Return a picture without transparency as RGB, by its profile where it has one that can be used."""
    if image.mode == "LAB":
        notes.add("CIELAB turned into sRGB")
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
        return _applied(image, lab)
    if image.mode not in {"L", "RGB", "CMYK"}:
        image = image.convert("RGB")
    if profile is None:
        if image.mode == "CMYK":
            notes.add("CMYK turned into RGB")
        return image.convert("RGB")
    try:
        read = ImageCms.ImageCmsProfile(BytesIO(profile))
        name = str(ImageCms.getProfileDescription(read)).strip() or "without a name"
        if "srgb" in name.lower():
            return image.convert("RGB")
        turned = _applied(image, ImageCms.buildTransform(read, _srgb(), image.mode, "RGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):  # damaged, or of another colour space than the picture
        notes.add("its colour profile cannot be used")
        return image.convert("RGB")
    notes.add(f"colours of the profile {name[:60]!r} turned into sRGB")
    return turned


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    turned = ImageCms.applyTransform(image, transform)
    if turned is None:
        raise ValueError("the colours could not be turned into sRGB")
    return turned


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
