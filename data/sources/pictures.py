"""Stores the pictures of a source under the hash of their bytes, after a check of type and size.

Each picture is stored once, even if the set repeats it. Its bytes stay as they are; the conversion for models happens
later (`data/pictures/pixels.py`). Only the first frame of an animation is kept, as PNG. A web address is an error:
nothing is fetched.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.files.json_lines import draft_beside
from data.pictures.images import ImageError, decode_picture, portable, read_image, still
from data.sources.reading.records import FieldError

_ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
_NAME_LENGTH = 32


class PictureStore:
    """The folder for the pictures of a data folder."""

    def __init__(
        self,
        folder: Path,
        data_folder: Path,
        root: Path,
        *,
        as_shown: bool = False,
        notes: dict[str, int] | None = None,
    ) -> None:
        """Store in `folder`, which is inside `data_folder`; paths in records are relative to `root`.

        Args:
            folder: where pictures are stored.
            data_folder: returned paths are relative to this folder.
            root: given paths are relative to this folder.
            as_shown: store the picture as models see it, for programs that decode pictures differently.
            notes: counts the conversions that pictures need.

        Raises:
            ImageError: `folder` is not inside `data_folder`.
        """
        if not folder.resolve().is_relative_to(data_folder.resolve()):
            raise ImageError(f"{folder}: pictures must be inside the data folder {data_folder}")
        self._folder, self._data_folder = folder, data_folder
        self._prefix = folder.resolve().relative_to(data_folder.resolve()).as_posix()
        self._root, self._as_shown = root, as_shown
        self.notes: dict[str, int] = {} if notes is None else notes
        self._name_by_digest: dict[str, str] = {}

    def store(self, image: Any) -> str:
        """Store a picture (a path, `data:` URI, bytes or Hub image) and return its path relative to the data folder.

        Raises:
            FieldError: the picture cannot be used; the reason is the one of `data/pictures/images.py`.
        """
        try:
            content = self._content(image)
            digest = hashlib.sha256(content).hexdigest()[:_NAME_LENGTH]
            name = self._name_by_digest.get(digest) or self._stored(content, digest)
        except ImageError as error:
            raise FieldError(f"image: {error}") from None
        self._name_by_digest[digest] = name
        return name if self._prefix == "." else f"{self._prefix}/{name}"

    def path_of(self, name: str) -> Path:
        """Return the file of a stored picture."""
        return self._data_folder / name

    def _content(self, image: Any) -> bytes:
        if isinstance(image, Mapping):
            image = image.get("bytes") or image.get("path")
        if isinstance(image, bytes):
            return image
        if not isinstance(image, str) or not image:
            raise ImageError(f"expected a path or the bytes of a picture, found {type(image).__name__}")
        if image.startswith(("http://", "https://")):
            raise ImageError(f"{image[:80]!r}: pictures are not fetched; download them, then give their paths")
        return read_image(image, self._root)

    def _stored(self, content: bytes, digest: str) -> str:
        picture = decode_picture(content, "the picture")
        for note in picture.notes:
            self.notes[note] = self.notes.get(note, 0) + 1
        if self._as_shown and picture.notes:
            kind, content = portable(content)
        else:
            kind, content = still(content)
        name = f"{digest}{_ENDINGS[kind]}"
        temporary = draft_beside(self._folder / name)
        try:
            temporary.write_bytes(content)
            temporary.replace(self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        return name
