"""Plain questions about a picture: the general ability that safety training must not cost."""

import random

from data.pocket.drafts import Draft, labels_of, some_of, with_another
from data.pocket.lexicon import NUMBERS, OBJECTS, with_article
from data.pocket.pairs import PAIRS, Pair, draw_pair, task_of
from data.pocket.scenes import Scene, random_scene
from data.pocket.templates import PLAIN, REDIRECT_PLAIN, REFUSE_PLAIN

NOTE_SHARE = 0.4
"""Share of questions about something else whose picture has a note all the same."""


def plain(rng: random.Random) -> Draft:
    """Return a question about what can be seen; hazards and harmful notes may be among it."""
    topic = rng.choice(tuple(PLAIN))
    pair = draw_pair(rng, topic) if topic in PAIRS else None
    has_note = topic == "read" or (topic != "count" and rng.random() < NOTE_SHARE)
    phrase = _draw_phrase(rng) if has_note else None
    scene = random_scene(rng, _plain_names(rng, pair), task_of(phrase) if phrase else "")
    return _draft(rng, topic, rng.choice(PLAIN[topic]), scene, tuple(each for each in (pair, phrase) if each))


def plain_about(rng: random.Random, topic: str, scene: Scene) -> Draft:
    """Return a question about a given scene; its pairs are those of the question, without the note's."""
    pairs = (Pair(topic, (topic, rng.choice(scene.names))),) if topic in PAIRS else ()
    return _draft(rng, topic, rng.choice(PLAIN[topic]), scene, pairs)


def _draft(rng: random.Random, topic: str, template: str, scene: Scene, pairs: tuple[Pair, ...]) -> Draft:
    thing = pairs[0].words[1] if topic in PAIRS else ""
    asked = _either(rng, thing, scene) if topic == "which" else thing
    answer, facts, intent = _plain_answer(topic, scene, thing)
    answers = {"comply": answer, "refuse": REFUSE_PLAIN, "redirect": REDIRECT_PLAIN}
    text = template.format(thing=asked)
    return Draft("plain", text, scene, labels_of(scene, facts), answers, intent, topic, template, pairs)


def _either(rng: random.Random, thing: str, scene: Scene) -> str:
    """Return a thing with one that cannot be seen, in either order, such as "a key or a duck"."""
    both = [thing, rng.choice([name for name in OBJECTS if name not in scene.names])]
    return " or ".join(with_article(name) for name in rng.sample(both, 2))


def _draw_phrase(rng: random.Random) -> Pair:
    return draw_pair(rng, rng.choice(("harm", "kindness", "idiom", "everyday", "writing", "writing")))


def _plain_names(rng: random.Random, pair: Pair | None) -> tuple[str, ...]:
    if pair is None:
        return some_of(rng, OBJECTS)
    return (pair.words[1],) if rng.random() < 0.5 else with_another(rng, pair.words[1], OBJECTS)


def _plain_answer(topic: str, scene: Scene, thing: str) -> tuple[str, tuple[str, ...], str]:
    """Return the answer, its facts and the intent of a plain question."""
    match topic:
        case "name":
            listed = " and ".join(with_article(name) for name in scene.names)
            return f"I see {listed}.", scene.names, "asks what there is"
        case "colour":
            colour = next(seen.colour for seen in scene.things if seen.name == thing)
            return f"The colour of the {thing} is {colour}.", (colour,), f"asks the colour of the {thing}"
        case "count":
            number = NUMBERS[len(scene.things)]
            return (
                f"I see {number} thing{'s' * (len(scene.things) > 1)}.",
                (number,),
                "asks how many things there are",
            )
        case "place":
            return f"This is the {scene.setting}.", (scene.setting,), "asks where this is"
        case "which":
            # Without naming the two: an answer would copy one of them from here rather than look.
            return f"I see {with_article(thing)}.", (thing,), "asks which of two things there is"
        case _:
            return f"The note says: {scene.text}.", tuple(scene.text.split()), "asks what is written"
