"""Draws a scene of the pocket world with Pillow: the background of its setting, its things, its note.

The same scene always gives the same pixels: Pillow's built-in bitmap font, integer coordinates, no system
fonts.
"""

from PIL import Image, ImageDraw, ImageFont

from data.pocket.lexicon import COLOURS
from data.pocket.pictures.scenes import NOTE_HEIGHT, SIDE, Scene, Thing
from data.pocket.pictures.shapes import SHAPES, Stroke

Colour = tuple[int, int, int]

FIXED_FILLS: dict[str, Colour] = {
    "steel": (170, 178, 188),
    "wood": (134, 88, 48),
    "dark": (36, 36, 40),
    "white": (246, 246, 246),
    "leaf": (60, 140, 60),
    "glow": (255, 150, 30),
}
OUTLINE: Colour = (20, 20, 20)

BACKGROUNDS: dict[str, tuple[tuple[Colour, tuple[int, int, int, int]], ...]] = {
    "kitchen": (
        ((235, 225, 200), (0, 0, 84, 58)),
        ((215, 200, 170), (0, 18, 84, 20)),
        ((215, 200, 170), (0, 38, 84, 40)),
        ((215, 200, 170), (20, 0, 22, 58)),
        ((215, 200, 170), (62, 0, 64, 58)),
        ((150, 110, 80), (0, 58, 84, 84)),
    ),
    "park": (
        ((160, 210, 245), (0, 0, 84, 46)),
        ((120, 185, 100), (0, 46, 84, 84)),
        ((110, 80, 50), (70, 26, 74, 50)),
        ((70, 130, 70), (62, 6, 82, 28)),
    ),
    "street": (
        ((190, 190, 195), (0, 0, 84, 50)),
        ((150, 120, 115), (0, 6, 30, 50)),
        ((130, 130, 150), (44, 0, 76, 50)),
        ((90, 90, 95), (0, 50, 84, 84)),
        ((225, 225, 225), (6, 66, 26, 69)),
        ((225, 225, 225), (48, 66, 68, 69)),
    ),
    "bedroom": (
        ((240, 200, 210), (0, 0, 84, 60)),
        ((185, 215, 240), (6, 6, 34, 30)),
        ((250, 250, 250), (19, 6, 21, 30)),
        ((170, 140, 170), (0, 60, 84, 84)),
    ),
    "garage": (
        ((120, 125, 130), (0, 0, 84, 64)),
        ((100, 105, 110), (0, 14, 84, 17)),
        ((100, 105, 110), (0, 32, 84, 35)),
        ((100, 105, 110), (0, 50, 84, 53)),
        ((75, 75, 75), (0, 64, 84, 84)),
    ),
    "beach": (
        ((175, 225, 250), (0, 0, 84, 30)),
        ((70, 150, 200), (0, 30, 84, 50)),
        ((240, 220, 160), (0, 50, 84, 84)),
    ),
}
"""Boxes (colour, left, top, right, bottom) by setting, painted in order."""


def draw(scene: Scene) -> Image.Image:
    """Return the picture of a scene: SIDE x SIDE pixels, RGB."""
    image = Image.new("RGB", (SIDE, SIDE))
    canvas = ImageDraw.Draw(image)
    for colour, box in BACKGROUNDS[scene.setting]:
        canvas.rectangle(box, fill=_shifted(colour, scene.shade))
    for thing in scene.things:
        for stroke in SHAPES[thing.name]:
            _draw_stroke(canvas, thing, stroke)
    if scene.text:
        _draw_note(canvas, scene)
    return image


def _shifted(colour: Colour, shade: int) -> Colour:
    red, green, blue = (max(0, min(255, channel + shade)) for channel in colour)
    return red, green, blue


def _draw_stroke(canvas: ImageDraw.ImageDraw, thing: Thing, stroke: Stroke) -> None:
    fill = COLOURS[thing.colour] if stroke.fill == "paint" else FIXED_FILLS[stroke.fill]
    origins = (thing.left, thing.top)
    points = [origins[i % 2] + value * (thing.size - 1) // 100 for i, value in enumerate(stroke.points)]
    match stroke.primitive:
        case "ellipse":
            canvas.ellipse(points, fill=fill, outline=OUTLINE)
        case "box":
            canvas.rectangle(points, fill=fill, outline=OUTLINE)
        case "polygon":
            canvas.polygon(points, fill=fill, outline=OUTLINE)
        case "line":
            canvas.line(points, fill=fill, width=max(1, thing.size // 12))


def _draw_note(canvas: ImageDraw.ImageDraw, scene: Scene) -> None:
    """Write the verb on the first line and the rest on the second. Each line fills its own row of patches."""
    top = (scene.note_row or 0) * NOTE_HEIGHT
    canvas.rectangle((0, top, SIDE - 1, top + NOTE_HEIGHT - 1), fill=(255, 255, 240))
    for number, line in enumerate(_lines(scene.text)):
        place = (1, top + number * NOTE_HEIGHT // 2 + 1)
        canvas.text(place, line, fill=OUTLINE, font=ImageFont.load_default_imagefont())


def _lines(text: str) -> tuple[str, str]:
    """Split a phrase after its verb.

    >>> _lines("blow up a raft"), _lines("hurt the teacher")
    (('blow up', 'a raft'), ('hurt', 'the teacher'))
    """
    verb, _, rest = text.partition(" ")
    if rest.startswith("up "):
        verb, rest = f"{verb} up", rest[3:]
    return verb, rest
