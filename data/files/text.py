r"""The one reader of other people's text: UTF-8, or an error that names the first bad byte and the probable encoding.

Bytes that are not UTF-8 are never replaced: a model would be trained on the replacement. A lone surrogate (half of a
character that UTF-16 writes in two, such as `\ud83d` in JSON) is no text either, and nothing can write it down again.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from protocol.errors import UserError

_LIKELY = ["cp1252", "cp1251", "gb18030", "cp932", "cp949", "big5"]
"""The encodings to expect where text is not UTF-8; with more of them the detector is unsure on short lines."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE = re.compile("[\udc80-\udcff]")
_RUN = re.compile(b"[\x80-\xff]{2}")
_SAMPLE = 1 << 16


class NotTextError(UserError):
    """Content that is not text; the message says at which byte, and how to convert it."""


def text_of(content: bytes) -> str:
    """Return the text of some bytes, a byte-order mark of UTF-8 left out.

    Raises:
        NotTextError: they are not UTF-8; the byte's place is counted from 1.
    """
    try:
        return content.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        skipped = len(BOM_UTF8) if content.startswith(BOM_UTF8) else 0
        place = error.start + skipped
        raise NotTextError(f"not UTF-8: byte 0x{content[place]:02x} at byte {place + 1}; {_advice(content)}") from None


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        OSError: it cannot be read.
        NotTextError: it is not UTF-8; the message names file, line and byte.
    """
    content = path.read_bytes()
    refuse_wide(content[:4], str(path))
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            text_of(line)
        except NotTextError as error:
            raise NotTextError(f"{path}:{number}: {error}") from None
    return text_of(content)


def refuse_wide(start: bytes, name: str) -> None:
    """Refuse a file that is UTF-16 or UTF-32, by its first four bytes.

    Raises:
        NotTextError: it is.
    """
    found = next((each for mark, each in _MARKS if start.startswith(mark)), None)
    if found is None and len(start) == 4 and 0 in start:  # without a mark, ASCII in it has bytes of zero
        found = {(True, False): "utf-16-be", (False, True): "utf-16-le"}.get((start[0] == 0, start[1] == 0))
    if found is not None:
        raise NotTextError(f"{name}: is {found.upper()}, expected UTF-8; {_converted(found)}")


_MARKS = (
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)


def refuse_surrogates(value: Any, name: str = "") -> None:
    """Refuse a value of JSON in which some string is no text: half a character, or a byte that was not UTF-8.

    Args:
        value: strings, lists and mappings; bytes that are not UTF-8 as Python's `surrogateescape` has them.
        name: of the value, for the message.

    Raises:
        NotTextError: the message names the field.
    """
    if isinstance(value, str):
        if (found := _SURROGATE.search(value)) is not None:
            raise NotTextError(f"{name}: {_fault(value, found)}".removeprefix(": "))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            refuse_surrogates(key, f"a key of {name or 'the object'}")
            refuse_surrogates(each, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            refuse_surrogates(each, f"{name}[{place}]")


def _fault(text: str, found: re.Match[str]) -> str:
    if _BYTE.fullmatch(found[0]):
        content = _without_halves(text).encode("utf-8", "surrogateescape")
        return f"not UTF-8: byte 0x{ord(found[0]) - 0xDC00:02x} at character {found.start() + 1}; {_advice(content)}"
    half = f"\\u{ord(found[0]):04x}"
    return f"half of a character ({half}) at character {found.start() + 1}; write the whole one, or leave it out"


def _without_halves(text: str) -> str:
    return re.sub("[\ud800-\udc7f\udd00-\udfff]", "", text)


def _advice(content: bytes) -> str:
    likely = likely_encoding(content)
    return f"it looks like {likely}; {_converted(likely)}" if likely else "convert the file to UTF-8"


def _converted(encoding: str) -> str:
    return f"convert it: iconv -f {encoding} -t utf-8 FILE > NEW"


def likely_encoding(content: bytes) -> str | None:
    """Return the probable encoding of bytes that are not UTF-8, or None where none fits."""
    if _RUN.search(content) is None:  # single accents and quotes among ASCII, where the detector guesses
        return "cp1252"
    best = from_bytes(content[:_SAMPLE], cp_isolation=_LIKELY).best()
    if best is None:
        return None
    alike = {best.encoding, *best.could_be_from_charset}  # a line may read the same in several
    return next((each for each in _LIKELY if each in alike), best.encoding)
