"""The lines of a file of rows, read in bounded memory whatever the file holds."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_LINE_BYTES = 16 << 20
"""A row of a hundred images inlined as `data:` URIs is smaller; nothing longer is taken into memory."""
_SKIPPED_AT_A_TIME = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands in a file."""

    file: str
    """As its messages name it."""
    number: int
    """From 1."""
    content: bytes
    """Without its end; empty where it could not be taken."""
    num_bytes: int
    """That it takes in the file, its end included."""
    fault: str = ""
    """Why it could not be taken; "" where it could."""


def read_lines(path: Path, max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Yield the lines of a file that are not blank. What cannot be read is a line with a fault, maybe the only one."""
    name, number, num_rows = str(path), 0, 0
    try:
        with path.open("rb") as file:
            for number, (content, num_bytes) in enumerate(bounded_lines(file, max_bytes), start=1):
                if num_bytes > len(content):
                    num_rows += 1
                    yield Line(name, number, b"", num_bytes, too_long(num_bytes, max_bytes))
                    continue
                bare = (content.removeprefix(BOM_UTF8) if number == 1 else content).strip(b" \t\r\n")
                if bare:
                    num_rows += 1
                    yield Line(name, number, bare, num_bytes)
    except OSError as error:
        yield Line(name, max(number, 1), b"", 0, f"cannot be read: {error.strerror or error}")
        return
    if not num_rows:
        yield Line(name, 1, b"", 0, "an empty file: there is no row in it")


def bounded_lines(file: BinaryIO, max_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[bytes, int]]:
    """Yield each line with its number of bytes; of one that is longer than `max_bytes`, only its beginning."""
    while content := file.readline(max_bytes + 1):
        num_bytes = len(content)
        if num_bytes > max_bytes and not content.endswith(b"\n"):
            num_bytes += _skip_line(file)
            content = content[:max_bytes]
        yield content, num_bytes


def too_long(num_bytes: int, max_bytes: int = MAX_LINE_BYTES) -> str:
    """Return what is said of a line of so many bytes."""
    return f"a line of {num_bytes:,} bytes, more than the limit of {max_bytes:,}"


def _skip_line(file: BinaryIO) -> int:
    """Read to the end of the line; return how many bytes that was."""
    num_bytes = 0
    while content := file.readline(_SKIPPED_AT_A_TIME):
        num_bytes += len(content)
        if content.endswith(b"\n"):
            break
    return num_bytes
