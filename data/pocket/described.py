"""The pocket world for text-only models: a description of the picture comes before the question.

A query keeps its answers, its facts and its split. The facts that were in the picture are now in the text.
"""

from dataclasses import replace

from data.pocket.lexicon import MASS
from data.pocket.pictures.scenes import Scene
from data.pocket.world import PocketQuery
from protocol.labels import Risk


def described(item: PocketQuery) -> PocketQuery:
    """Return a query without its picture; its text begins with a description of the scene.

    The risk of the picture becomes "safe", since there is none. The risk of the text becomes the combined risk.
    """
    query = item.query
    labels = replace(query.labels, image_risk=Risk.SAFE, text_risk=query.labels.combined_risk, objects=(), texts=())
    text = f"{describe(item.scene)}\n{query.text}"
    return replace(item, query=replace(query, id=f"{query.id}-told", text=text, images=(), labels=labels))


def describe(scene: Scene) -> str:
    """Return a scene in a sentence or two.

    >>> from data.pocket.pictures.scenes import Thing
    >>> describe(Scene("garage", (Thing("hat", "red", 0, 0, 26), Thing("pills", "blue", 28, 0, 26)), "thank the nurse"))
    'A picture of the garage shows a red hat and some blue pills. A note in it reads "thank the nurse".'
    """
    things = " and ".join(f"{'some' if each.name in MASS else 'a'} {each.colour} {each.name}" for each in scene.things)
    note = f' A note in it reads "{scene.text}".' if scene.text else ""
    return f"A picture of the {scene.setting} shows {things}.{note}"
