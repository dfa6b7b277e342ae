"""Removes the marks of pictures in a text, such as `<image>`, and checks their number against the pictures.

In our rows pictures come before the text. So a mark at the beginning of a line, or at the end of the text, is removed.
A mark inside a sentence is either part of the sentence, or a picture in the middle of the text; rows cannot hold the
latter.
"""

import re

from data.sources.reading.records import FieldError

IMAGE_MARK = "<image>"
_STANDING = re.compile(r"\A(?:\s*<image>)+|^(?:[ \t]*<image>)+[ \t]*|(?:<image>\s*)+\Z", re.MULTILINE)
_OTHER = re.compile(
    r"\A\s*(<(?:video|audio)>)|^[ \t]*(<(?:video|audio)>)[ \t]*$|(<(?:video|audio)>)\s*\Z", re.MULTILINE
)


def without_marks(text: str, num_images: int) -> str:
    """Return a text without the marks of its pictures; a mark that is part of a sentence stays.

    >>> without_marks("<image>What does the tag <image> do?", 1)
    'What does the tag <image> do?'

    Raises:
        FieldError: there are more or fewer marks than pictures, a picture's mark is inside a sentence, or a mark stands
            for video or audio.
    """
    if other := _OTHER.search(text):
        mark = next(filter(None, other.groups()))
        raise FieldError(f"text: holds the mark {mark}; only pictures can be imported")
    standing = sum(found[0].count(IMAGE_MARK) for found in _STANDING.finditer(text))
    num_marks = text.count(IMAGE_MARK)
    if standing == num_images or num_marks == 0:
        return _STANDING.sub("", text).strip()
    if num_marks == num_images:
        raise FieldError(f"text: the mark {IMAGE_MARK} is inside a sentence; rows have pictures before the words")
    raise FieldError(f"text: {num_marks} marks {IMAGE_MARK} for {num_images} pictures")
