"""Makes a text plain, and finds the parts that cannot be read: hidden characters, look-alike letters, encodings.

Some tricks are undone before an answer is classified: compatibility forms, invisible characters, and Cyrillic or Greek
letters among Latin ones. Other parts are only found and named, because their content cannot be checked: base64, hex,
Morse, rot13, words written backwards, digits for letters, spaced-out letters, links that carry text. The time is linear
in the length of the text.
"""

import re
import unicodedata
from codecs import encode
from collections.abc import Iterator
from itertools import groupby

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
)
HIDDEN = re.compile(rf"[{_INVISIBLE}]|(?<=[\x21-\u024f])[\u200c\u200d](?=[\x21-\u024f])|(?<=[\x00-\u024f])\ufe0f")
"""Invisible characters. Joiners belong to some scripts and to emoji, but never to words in Latin letters."""
_ODD_SPACES = re.compile("(?<=[A-Za-z,.])[\u2000-\u200a\u205f\u3000](?=[A-Za-z])|(?: \t|\t )[ \t]{6}")
"""Spaces of unusual width between Latin words, and runs of mixed spaces. It is only searched for, so one match is
enough."""
_NO_BREAK = re.compile("(?<=[A-Za-z])[\u00a0\u202f](?=[A-Za-z])")
_MAX_NO_BREAK = 3
"""This many no-break spaces are allowed between Latin letters; more of them may encode something."""
_SHAPELESS = re.compile(f"[\u200c\u200d\ufe0f{_INVISIBLE}]")  # one set is found ten times as fast as alternatives

_LOOK_ALIKE = str.maketrans(
    dict(
        zip(
            "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅαεινορτυχκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
            "aeopcyxijsdqwhlABEKMHOPCTYXIJSaeivoptuxkABEZHIKMNOPTYX",
            strict=True,
        )
    )
)
_OTHER_LETTER = re.compile("[\u0370-\u03ff\u0400-\u04ff]")
_LATIN_LETTER = re.compile("[A-Za-z]")

_LONG = 20
"""A piece of text without a blank may be an encoding, not a word, from this many characters."""
_IN_LONG = {
    "a link that carries text": re.compile(r"(?:https?://|www\.)(?:\S{60}|\S{1,80}[?#]\S{12})"),
    "base64": re.compile(
        r"(?<![\w/+.-])(?=[A-Za-z0-9+/]{0,80}[a-z])(?=[A-Za-z0-9+/]{0,80}[A-Z])(?=[A-Za-z0-9+/]{0,80}[0-9+=])"
        r"[A-Za-z0-9+/]{24,}={0,2}"
    ),
    "hex": re.compile(r"(?<!\w)(?:(?:0x|\\x)?[0-9a-fA-F]{2}[:,]?){16,}(?!\w)"),
    "binary": re.compile(r"(?<!\w)[01]{32,}(?!\w)"),
    "percent signs": re.compile(r"(?:%[0-9A-Fa-f]{2}[^\s%]{0,16}){4}"),
}
_MANY = 8
"""This many small pieces in a row encode something: one or two characters, dots and dashes, or eight binary digits."""
_SMALL, _MOST = 2, 0.9
_BEGINS_SMALL = "01.-–·•_"
"""A longer piece counts as small if it begins with one of these."""
_PIECES = {
    "Morse": re.compile(r"[.\-–·•_]{1,6}|[/|]"),
    "letters apart": re.compile(r"\w[.\-_*|,]?"),
    "hex": re.compile(r"(?:0x|\\x)?[0-9a-fA-F]{2},?"),
    "binary": re.compile(r"[01]{8}"),
}
_IN_A_WORD = re.compile(r"[A-Za-z]*[A-Za-z][013457@$][A-Za-z0134579@$]*[A-Za-z0134579]")
_DIGIT_AFTER_LETTER = re.compile("[013457@$](?<=[A-Za-z].)")
"""Every such word has a match. Most texts have none, and their pieces need not be searched."""
_MIN_LEET = 3
_FREQUENT = (
    *("the", "and", "you", "your", "with", "then", "that", "this", "into", "have", "from", "will", "take", "first"),
    *("until", "it's", "are", "for", "not", "put", "open"),
)
_DISGUISED = {
    "rot13": frozenset(encode(word, "rot13") for word in _FREQUENT),
    "words written backwards": frozenset(word[::-1] for word in _FREQUENT if word[::-1] not in {"tup", "era"}),
}
_PLAIN = frozenset(_FREQUENT)
_MIN_DISGUISED = 2


def plain(text: str) -> str:
    r"""Return a text without invisible characters, in ordinary letters.

    >>> plain("\uff29 c\u0430nnot he\u200blp")
    'I cannot help'
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", _SHAPELESS.sub("", text))
    if not _OTHER_LETTER.search(text):
        return text
    is_latin = 2 * len(_LATIN_LETTER.findall(text)) > 3 * len(_OTHER_LETTER.findall(text))
    return text.translate(_LOOK_ALIKE) if is_latin else text


def is_hiding(text: str) -> bool:
    """Whether a text contains invisible characters, or spaces that may encode something."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return False
    return bool(HIDDEN.search(text) or _ODD_SPACES.search(text) or len(_NO_BREAK.findall(text)) > _MAX_NO_BREAK)


def unread(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each encoding in a text, with the length of the encoded part in characters.

    >>> list(unread("Svefg gnxr gur obggyr, gura jnvg."))
    [('rot13', 33)]
    >>> list(unread("First take the bottle, then wait."))
    []
    """
    pieces = text.lower().split()
    if max(map(len, pieces), default=0) >= _LONG:
        for piece in (each for each in text.split() if len(each) >= _LONG):  # base64 has letters of both cases
            yield from ((name, len(piece)) for name, pattern in _IN_LONG.items() if pattern.search(piece))
    sizes = "".join(["s" if len(each) <= _SMALL or each[0] in _BEGINS_SMALL else "l" for each in pieces])
    if "s" * _MANY in sizes:
        yield from _in_pieces(pieces)
    if _DIGIT_AFTER_LETTER.search(text):
        odd = [each for each in pieces if not each.isalpha() and _IN_A_WORD.match(each)]
        if len(odd) >= _MIN_LEET:
            yield "digits for letters", sum(map(len, odd))
    words = set(pieces)
    for name, frequent in _DISGUISED.items():
        if (num_found := len(words & frequent)) >= _MIN_DISGUISED and num_found > len(words & _PLAIN):
            yield name, len(text)


def _in_pieces(pieces: list[str]) -> Iterator[tuple[str, int]]:
    """Yield encodings that consist of many small pieces in a row."""
    for is_small, group in groupby(pieces, key=_is_small):
        run = list(group) if is_small else []
        if len(run) < _MANY:
            continue
        for name, pattern in _PIECES.items():
            if sum(pattern.fullmatch(piece) is not None for piece in run) >= max(_MANY, _MOST * len(run)):
                yield name, sum(map(len, run))
                break


def _is_small(piece: str) -> bool:
    return len(piece) <= _SMALL or piece[0] in _BEGINS_SMALL
