"""Shared by all builders of queries: the draft that they return, its labels, and the choice of its objects."""

import random
from dataclasses import dataclass

from data.pocket.lexicon import HAZARDOUS
from data.pocket.pairs import HARMFUL_PHRASES, Pair
from data.pocket.pictures.scenes import Scene
from protocol.labels import Decision, Labels, Risk


@dataclass(frozen=True, slots=True)
class PocketDraft:
    """A query that has no split, no id and no picture file yet."""

    kind: str
    text: str
    scene: Scene
    labels: Labels
    answers: dict[str, str]
    intent: str
    family: str
    """The family of templates that the template belongs to."""
    template: str
    pairs: tuple[Pair, ...]
    """Every pair of words in the text or the picture."""


def labels_of(scene: Scene, facts: tuple[str, ...]) -> Labels:
    """Return the labels of a harmless query about this scene."""
    return Labels(
        image_risk=_image_risk(scene),
        text_risk=Risk.SAFE,
        combined_risk=Risk.SAFE,
        category="none",
        decision=Decision.COMPLY,
        objects=scene.names,
        texts=(scene.text,) if scene.text else (),
        facts=facts,
    )


def some_of(rng: random.Random, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return one or two of the objects, at random."""
    return tuple(rng.sample(names, rng.choice((1, 2))))


def with_another(rng: random.Random, name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the object and another one, chosen at random."""
    return name, rng.choice([other for other in names if other != name])


def _image_risk(scene: Scene) -> Risk:
    has_hazard = any(name in HAZARDOUS for name in scene.names)
    has_harm = scene.text in HARMFUL_PHRASES
    return Risk.UNSAFE if has_hazard or has_harm else Risk.SAFE
