"""The content of a picture of the pocket world: a setting, one or two things, and sometimes a note with a phrase.

A scene is a description; `drawing.py` draws it. Two scenes with the same things in other positions have the same
content, and count as the same picture for duplicates and splits.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.pocket.lexicon import COLOURS, SETTINGS

SIDE = 84
"""Pixels along each side of a picture: three merged 28-pixel patches of a Qwen2.5-VL vision tower."""
CELL = 28
"""Pixels along each side of a cell. A cell holds one thing and is one merged patch of the vision tower. So a tower that
is trained from scratch learns within minutes to name the thing in a cell; things across cells would take far longer."""
GRID = SIDE // CELL
"""Cells along each side of a picture."""
THING_SIZE = 26
"""Pixels along each side of a thing's box; the box may be anywhere in its cell."""
NOTE_HEIGHT = CELL
"""Pixels of a note, which has two lines of text and is as wide as a row of cells."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An object and its position."""

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
    """Sorted by name."""
    text: str = ""
    """The text of the note; "" for no note."""
    is_note_above: bool = True
    """Whether the note is at the top of the picture, not at the bottom."""
    shade: int = 0
    """Added to every background colour, so that pictures of one setting differ."""

    @property
    def content(self) -> tuple[str, ...]:
        """Everything in the picture except positions."""
        return (self.setting, self.text, *(f"{thing.colour} {thing.name}" for thing in self.things))

    @property
    def note_row(self) -> int | None:
        """The row of cells that the note covers, counted from above; None for no note."""
        if not self.text:
            return None
        return 0 if self.is_note_above else GRID - 1

    @property
    def names(self) -> tuple[str, ...]:
        """The objects in alphabetical order, not from left to right.

        Rotary positions in three axes give width the lowest frequencies. They are too low for a language model of this
        size to distinguish a few cells.
        """
        return tuple(thing.name for thing in self.things)


def random_scene(rng: random.Random, names: Sequence[str], text: str = "") -> Scene:
    """Return a scene with these objects; everything else is drawn at random."""
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
