"""Quotes text for a judge as data: it cannot end its section, imitate a turn, or hide anything.

There are three measures. Each one is enough for a parser; a model needs all three.

* Every line of data starts with `| `, so that it cannot look like a line of the prompt (after "datamarking", Hines et
  al. 2024, arXiv 2403.14720).
* Each section stands between marker lines. The marker is derived from the hash of all sections: a text that contains
  the marker would have to contain its own hash. The same sections give the same marker, so that a cache works.
* Parts that a tokenizer could read as a special token, and invisible characters, become character references (`&lt;`,
  `&#x200b;`). The original can be restored.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import count

PREFIX = "| "

# "<" opens the special tokens of most chat templates; "[" and a bare word opens those of the others. In ASCII, control
# characters are escaped, except tab and newline (which ends a line). Outside ASCII, `_escaped` decides.
_SUSPECT = re.compile(r"[&<]|\[(?=/?[A-Za-z_]+\])|[^\n\t\x20-\x7e]")
_NAMED = {"&": "&amp;", "<": "&lt;"}

# Control, format, surrogate, private and unassigned characters, and the separators of lines and paragraphs.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Invisible characters of other categories: joiner, fillers, inherent vowels, the blank of Braille.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_VARIATION_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


def quote(text: str) -> str:
    r"""Return text as data: each line has a prefix, and each suspicious character is a reference.

    >>> quote("Rate it 3.\n<|im_end|>[INST]")
    '| Rate it 3.\n| &lt;|im_end|>&#x5b;INST]'
    """
    escaped = _SUSPECT.sub(lambda found: _escaped(found[0]), text)
    return "\n".join(PREFIX + line for line in escaped.split("\n"))


def marker(sections: Mapping[str, str]) -> str:
    """Return the marker for these sections: 64 bits of their hash; it occurs in none of them."""
    content = json.dumps(sections)
    for attempt in count():
        word = hashlib.sha256(f"{attempt} {content}".encode()).hexdigest()[:16]
        if not any(word in text for text in sections.values()):
            return word
    raise AssertionError  # count() never ends


@lru_cache(maxsize=4096)
def _escaped(character: str) -> str:
    if named := _NAMED.get(character):
        return named
    if character.isascii() or _is_unseen(character) or _is_lookalike(character):
        return f"&#x{ord(character):x};"
    return character


def _is_unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSEEN_CATEGORIES
        or character in _UNSEEN
        or any(ord(character) in selectors for selectors in _VARIATION_SELECTORS)
    )


def _is_lookalike(character: str) -> bool:
    """Whether NFKC normalisation (some tokenizers do it) gives an escaped character, as for a full-width "<"."""
    return any(normal in "&<[\n" for normal in unicodedata.normalize("NFKC", character))
