"""Which split a row belongs to, decided by its content alone.

A hash decides, never an order or a random state: the same row falls on the same side in every build, so that no row is
on both sides. Nothing here depends on the kind of row.
"""

import hashlib
from collections.abc import Collection


def content_key(*parts: str) -> str:
    """Return the hex SHA-256 of the parts; ("ab", "c") and ("a", "bc") differ.

    >>> content_key("ab", "c") == content_key("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.hexdigest()


def held_out(items: Collection[str], *, group: str, share: float) -> frozenset[str]:
    """Return the `share` of the items with the smallest hashes within their group.

    Ranking, unlike a threshold on each hash, gives every group with two items or more its part of both sides.

    Raises:
        ValueError: fewer than two different items, of which none could be held out and one kept.
    """
    ranked = sorted(set(items), key=lambda item: content_key(group, item))
    if len(ranked) < 2:
        raise ValueError(f"{group}: nothing to hold out of {len(ranked)} item(s); give at least two")
    num_held = min(len(ranked) - 1, max(1, round(share * len(ranked))))
    return frozenset(ranked[:num_held])


def is_below(key: str, share: float) -> bool:
    """Return whether a content key falls into the first `share` (0..1) of all possible keys."""
    return int(key[:16], 16) < share * 16**16
