"""What is in a picture of the pocket world: a setting, one or two things, perhaps a note with a phrase on it.

A scene is a description; `drawing.py` makes it visible. Two scenes that differ only in where things stand
have the same content, and so count as the same picture when duplicates and splits are decided.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.pocket.lexicon import COLOURS, SETTINGS

SIDE = 84
"""Pixels along each side of a picture: three merged 28-pixel patches of a Qwen2.5-VL vision tower."""
CELL = 28
"""Pixels along each side of a cell, which holds one thing: a merged patch of the vision tower. Trained from scratch, it
learns within minutes to name what stands in a cell; things across cells would take it far longer."""
GRID = SIDE // CELL
"""Cells along each side of a picture."""
THING_SIZE = 26
"""Pixels along each side of a thing's box, which is anywhere in its cell."""
NOTE_HEIGHT = CELL
"""Pixels of a note: two lines of writing, a row of cells wide."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An object where it stands."""

    name: str
    colour: str
    left: int
    """Pixels from the left side of the picture to the thing's box."""
    top: int
    """Pixels from the upper side of the picture to the thing's box."""
    size: int
    """Pixels along each side of the thing's box."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture before it is drawn."""

    setting: str
    things: tuple[Thing, ...]
    """In the order of their names."""
    text: str = ""
    """What is written on the note; "" for no note."""
    is_note_above: bool = True
    """Whether the note is at the upper side of the picture rather than the lower."""
    shade: int = 0
    """Added to every background colour, so that no two pictures of a setting need to be alike."""

    @property
    def content(self) -> tuple[str, ...]:
        """What can be said about the picture, without where things stand."""
        return (self.setting, self.text, *(f"{thing.colour} {thing.name}" for thing in self.things))

    @property
    def note_row(self) -> int | None:
        """The row of cells that the note covers, counted from above; None for no note."""
        if not self.text:
            return None
        return 0 if self.is_note_above else GRID - 1

    @property
    def names(self) -> tuple[str, ...]:
        """The objects in alphabetical order.

        Not from left to right: rotary positions in three axes give width the lowest frequencies, too low for a few
        cells to be told apart by a language model of this size.
        """
        return tuple(thing.name for thing in self.things)


def random_scene(rng: random.Random, names: Sequence[str], text: str = "") -> Scene:
    """Return a scene with these objects, everything else drawn from `rng`."""
    is_note_above = rng.random() < 0.5
    empty = Scene(rng.choice(SETTINGS), (), text, is_note_above, rng.randint(-12, 12))
    cells = range(GRID)
    rows = [row for row in cells if row != empty.note_row]
    placed = zip(sorted(names), rng.sample(cells, len(names)), strict=True)
    return replace(empty, things=tuple(_place(rng, name, column, rng.choice(rows)) for name, column in placed))


def _place(rng: random.Random, name: str, column: int, row: int) -> Thing:
    return Thing(
        name=name,
        colour=rng.choice(tuple(COLOURS)),
        left=column * CELL + rng.randint(0, CELL - THING_SIZE),
        top=row * CELL + rng.randint(0, CELL - THING_SIZE),
        size=THING_SIZE,
    )
