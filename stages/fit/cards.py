"""The cards that times are told for, by name; their figures and sources are in `cards.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from protocol.nearest import nearest
from stages.errors import StageError


@dataclass(frozen=True, slots=True)
class Card:
    """What a card has."""

    name: str
    gib: float
    """Of memory."""
    bandwidth_gb_s: float
    """Of that memory, in 10^9 bytes a second."""
    tflops: float
    """Dense matrix products of halves with float32 sums, in 10^12 operations a second."""
    source: str
    bf16: bool = True
    """Whether it computes in bfloat16; else in float16."""


@cache
def cards() -> dict[str, Card]:
    """Return all cards by name, those with less memory first."""
    entries = tomllib.loads(files("stages.fit").joinpath("cards.toml").read_text(encoding="utf-8"))
    return {name: Card(name, **entry) for name, entry in entries.items()}


def find_cards(wanted: str) -> list[Card]:
    """Return the card of a name, or a card of so many GiB for each known one with as much.

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
