"""Which numerals lie in a range, and the regular expression that matches exactly those.

Written in the subset that Python's `re` and Rust's derivative-based engines read alike: no counted repetition, no
look-around.
"""

import re
from collections.abc import Iterable
from decimal import Decimal


def numeral(value: float | Decimal) -> str:
    """Return the canonical numeral: positional, without trailing zeros, without "-0".

    >>> numeral(0.50), numeral(-0.0), numeral(3)
    ('0.5', '0', '3')
    """
    text = format(Decimal(repr(value)) if isinstance(value, float) else Decimal(value), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def numerals(minimum: float, maximum: float, places: int) -> list[str]:
    """Return every canonical numeral with at most `places` decimals from `minimum` to `maximum`.

    >>> numerals(0, 1, 0), numerals(-0.1, 0.1, 1)
    (['0', '1'], ['-0.1', '0', '0.1'])
    """
    unit = Decimal(1).scaleb(-places)
    first = int((Decimal(repr(minimum)) / unit).to_integral_value("ROUND_CEILING"))
    last = int((Decimal(repr(maximum)) / unit).to_integral_value("ROUND_FLOOR"))
    return [numeral(step * unit) for step in range(first, last + 1)]


def alternatives(words: Iterable[str]) -> str:
    r"""Return a regular expression for exactly these words, sharing common beginnings.

    >>> alternatives(["0", "0.5", "1"])
    '(?:0(?:\\.5)?|1)'
    """
    tree: dict[str, dict[str, object]] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})  # type: ignore[assignment]
        node[""] = {}
    return _spell(tree)


def _spell(node: dict[str, dict[str, object]]) -> str:
    branches: dict[str, list[str]] = {}
    for letter, child in node.items():
        if letter:
            branches.setdefault(_spell(child), []).append(letter)  # type: ignore[arg-type]
    parts = [_letters(letters) + rest for rest, letters in branches.items()]
    if not parts:
        return ""
    body = parts[0] if len(parts) == 1 and "" not in node else f"(?:{'|'.join(parts)})"
    return f"{body}?" if "" in node else body


def _letters(letters: list[str]) -> str:
    return re.escape(letters[0]) if len(letters) == 1 else f"[{''.join(re.escape(letter) for letter in letters)}]"
