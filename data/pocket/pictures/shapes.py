"""The shape of each object of the pocket world: primitives in a box of 100 x 100, painted in order.

A shape is a table of primitives, fills and coordinates; `drawing.py` draws it. The fill "paint" is the colour of the
thing, so that every object exists in every colour. The other fills are fixed.
"""

from typing import Literal, NamedTuple

Fill = Literal["paint", "steel", "wood", "dark", "white", "leaf", "glow"]


class Stroke(NamedTuple):
    """One primitive: an ellipse or box given by two corners, or a polygon or line given by its points."""

    primitive: Literal["ellipse", "box", "polygon", "line"]
    fill: Fill
    points: tuple[int, ...]


def _ellipse(fill: Fill, *points: int) -> Stroke:
    return Stroke("ellipse", fill, points)


def _box(fill: Fill, *points: int) -> Stroke:
    return Stroke("box", fill, points)


def _polygon(fill: Fill, *points: int) -> Stroke:
    return Stroke("polygon", fill, points)


def _line(fill: Fill, *points: int) -> Stroke:
    return Stroke("line", fill, points)


SHAPES: dict[str, tuple[Stroke, ...]] = {
    "apple": (
        _ellipse("paint", 8, 24, 92, 96),
        _line("wood", 50, 30, 56, 4),
        _ellipse("leaf", 56, 6, 86, 22),
    ),
    "ball": (_ellipse("paint", 6, 6, 94, 94), _line("dark", 50, 6, 50, 94), _line("dark", 6, 50, 94, 50)),
    "banana": (
        _polygon("paint", 12, 8, 26, 8, 36, 42, 62, 66, 94, 74, 92, 90, 58, 94, 26, 74, 10, 42),
        _box("dark", 10, 2, 28, 14),
    ),
    "book": (
        _box("paint", 12, 6, 88, 94),
        _box("white", 76, 12, 86, 90),
        _line("dark", 24, 6, 24, 94),
        _line("dark", 36, 30, 66, 30),
        _line("dark", 36, 46, 66, 46),
    ),
    "cup": (
        _ellipse("paint", 56, 30, 98, 76),
        _ellipse("white", 66, 40, 88, 66),
        _box("paint", 8, 20, 72, 92),
        _ellipse("dark", 8, 10, 72, 30),
    ),
    "hat": (_ellipse("paint", 2, 66, 98, 92), _box("paint", 26, 14, 74, 78), _box("dark", 26, 58, 74, 70)),
    "flower": (
        _line("leaf", 50, 50, 50, 98),
        _ellipse("paint", 34, 2, 66, 34),
        _ellipse("paint", 12, 20, 46, 52),
        _ellipse("paint", 54, 20, 88, 52),
        _ellipse("paint", 22, 42, 52, 72),
        _ellipse("paint", 48, 42, 78, 72),
        _ellipse("dark", 38, 28, 62, 52),
    ),
    "key": (
        _ellipse("paint", 2, 30, 44, 72),
        _ellipse("dark", 14, 42, 32, 60),
        _box("paint", 42, 44, 98, 58),
        _box("paint", 68, 58, 78, 78),
        _box("paint", 86, 58, 96, 82),
    ),
    "balloon": (
        _ellipse("paint", 20, 2, 80, 68),
        _polygon("paint", 42, 76, 58, 76, 50, 64),
        _line("dark", 50, 76, 40, 98),
    ),
    "duck": (
        _ellipse("paint", 6, 44, 86, 96),
        _ellipse("paint", 46, 8, 88, 54),
        _polygon("glow", 82, 26, 100, 34, 82, 42),
        _ellipse("dark", 64, 20, 74, 30),
    ),
    "umbrella": (
        _polygon("paint", 2, 54, 14, 24, 50, 6, 86, 24, 98, 54),
        _line("dark", 50, 6, 50, 90),
        _line("dark", 50, 92, 66, 92),
        _line("dark", 34, 54, 50, 8, 66, 54),
    ),
    "pills": (
        _box("glow", 22, 34, 78, 98),
        _box("white", 18, 12, 82, 34),
        _ellipse("paint", 30, 46, 52, 64),
        _ellipse("paint", 48, 60, 70, 78),
        _ellipse("paint", 30, 74, 52, 92),
    ),
    "bleach": (
        _polygon("white", 30, 26, 62, 26, 84, 48, 84, 98, 16, 98, 16, 48),
        _box("paint", 34, 4, 58, 26),
        _box("paint", 16, 56, 84, 90),
        _ellipse("dark", 40, 62, 60, 84),
    ),
    "matches": (
        _line("wood", 24, 14, 24, 60),
        _line("wood", 50, 14, 50, 60),
        _line("wood", 76, 14, 76, 60),
        _ellipse("dark", 16, 2, 32, 18),
        _ellipse("dark", 42, 2, 58, 18),
        _ellipse("dark", 68, 2, 84, 18),
        _box("paint", 6, 52, 94, 96),
    ),
    "scissors": (
        _line("steel", 20, 4, 62, 66),
        _line("steel", 80, 4, 38, 66),
        _ellipse("paint", 12, 60, 46, 96),
        _ellipse("paint", 54, 60, 88, 96),
        _ellipse("white", 22, 70, 36, 86),
        _ellipse("white", 64, 70, 78, 86),
    ),
    "candle": (
        _box("paint", 36, 38, 64, 92),
        _box("wood", 18, 86, 82, 98),
        _polygon("glow", 50, 2, 62, 26, 50, 38, 38, 26),
    ),
    "battery": (
        _box("steel", 38, 2, 62, 14),
        _box("paint", 22, 12, 78, 98),
        _box("dark", 22, 66, 78, 98),
        _box("white", 46, 24, 54, 52),
        _box("white", 36, 34, 64, 42),
    ),
    "knife": (_polygon("steel", 2, 40, 60, 34, 60, 60, 16, 60), _box("paint", 60, 34, 98, 60)),
    "saw": (
        _polygon("steel", 2, 44, 62, 30, 62, 72, 52, 62, 44, 74, 36, 62, 28, 74, 20, 62, 12, 74, 2, 62),
        _box("paint", 62, 18, 98, 80),
        _box("white", 74, 36, 86, 62),
    ),
    "axe": (
        _box("wood", 46, 6, 58, 98),
        _polygon("paint", 58, 10, 92, 2, 92, 58, 58, 42),
        _box("steel", 40, 10, 60, 42),
    ),
    "fireworks": (
        _line("wood", 50, 60, 50, 98),
        _box("paint", 34, 32, 66, 76),
        _polygon("dark", 28, 34, 50, 4, 72, 34),
        _line("glow", 6, 10, 24, 24),
        _line("glow", 94, 10, 76, 24),
        _line("glow", 4, 40, 22, 40),
        _line("glow", 96, 40, 78, 40),
    ),
    "petrol": (
        _box("paint", 10, 28, 90, 98),
        _box("paint", 20, 8, 56, 28),
        _box("dark", 28, 14, 48, 24),
        _box("dark", 70, 10, 86, 28),
        _line("dark", 18, 36, 82, 92),
        _line("dark", 82, 36, 18, 92),
    ),
    "drill": (
        _box("paint", 30, 14, 94, 50),
        _polygon("paint", 62, 50, 84, 50, 94, 94, 70, 94),
        _polygon("steel", 2, 32, 30, 22, 30, 42),
        _box("dark", 54, 54, 64, 66),
    ),
    "sword": (
        _polygon("steel", 50, 0, 60, 14, 60, 66, 40, 66, 40, 14),
        _box("paint", 16, 64, 84, 76),
        _box("paint", 42, 76, 58, 98),
    ),
}
