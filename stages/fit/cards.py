"""The cards that `tritrace fit` estimates times for; `cards.toml` has their figures and sources."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from protocol.nearest import nearest
from stages.errors import StageError


@dataclass(frozen=True, slots=True)
class Card:
    """Figures of a graphics card."""

    name: str
    gib: float
    """Memory, in GiB."""
    bandwidth_gb_s: float
    """Bandwidth of the memory, in 10^9 bytes a second."""
    tflops: float
    """Speed of dense matrix products in half precision with float32 sums, in 10^12 operations a second."""
    source: str
    bf16: bool = True
    """Whether it computes in bfloat16; otherwise in float16."""


@cache
def cards() -> dict[str, Card]:
    """Return all cards by name, ordered by memory, the smallest first."""
    entries = tomllib.loads(files("stages.fit").joinpath("cards.toml").read_text(encoding="utf-8"))
    return {name: Card(name, **entry) for name, entry in entries.items()}


def find_cards(wanted: str) -> list[Card]:
    """Return the card of this name, or all known cards with this memory.

    Raises:
        StageError: it is neither a known name nor a number above 0.
    """
    name = wanted.lower().replace(" ", "-")
    if name in cards():
        return [cards()[name]]
    try:
        gib = float(wanted.removesuffix("GB").removesuffix("GiB"))
    except ValueError:
        gib = 0.0
    if gib <= 0:
        hint = nearest(name, list(cards()))
        known = ", ".join(cards())
        raise StageError(
            f"--card: expected GiB, such as 16, or a name, found {wanted!r}"
            + (f"; {hint}" if hint else "")
            + f"; known are {known}"
        )
    return [card for card in cards().values() if card.gib == gib] or [Card("", gib, 0.0, 0.0, "")]
