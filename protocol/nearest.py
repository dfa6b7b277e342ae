"""The hint for a slip: the nearest of the known names."""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the nearest known name, or None where none is near."""
    # Names are short; a long text is no slip, and comparing it would take quadratic time.
    return _nearest(name, tuple(known)) if len(name) <= 80 else None


@lru_cache(maxsize=4096)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    match = get_close_matches(name, known, n=1, cutoff=0.6)
    return match[0] if match else None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" with the nearest known name, or "" where none is near.

    >>> nearest("VISUAL-SCNA", ["OCR-EXTRACT", "VISUAL-SCAN"])
    'did you mean VISUAL-SCAN?'
    """
    match = nearest_name(name, known)
    return f"did you mean {match}?" if match else ""
