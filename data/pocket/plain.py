"""Plain questions about a picture: the general ability that safety training must not cost."""

import random

from data.pocket.drafts import Draft, labels_of, some_of, with_another
from data.pocket.lexicon import OBJECTS, with_article
from data.pocket.pairs import PAIRS, Pair, draw_pair, task_of
from data.pocket.scenes import Scene, random_scene
from data.pocket.templates import PLAIN, REDIRECT_PLAIN, REFUSE_PLAIN

NUMBERS = ("zero", "one", "two")
NOTE_SHARE = 0.2
"""Share of questions about something else whose picture has a note all the same."""


def plain(rng: random.Random) -> Draft:
    """Return a question about what can be seen; hazards and harmful notes may be among it."""
    topic = rng.choice(tuple(PLAIN))
    template = rng.choice(PLAIN[topic])
    pair = draw_pair(rng, topic) if topic in PAIRS else None
    has_note = topic == "read" or (topic != "count" and rng.random() < NOTE_SHARE)
    phrase = _draw_phrase(rng) if has_note else None
    scene = random_scene(rng, _plain_names(rng, pair), task_of(phrase) if phrase else "")
    return _draft(topic, template, scene, tuple(each for each in (pair, phrase) if each))


def plain_about(rng: random.Random, topic: str, scene: Scene) -> Draft:
    """Return a question about a given scene; its pairs are those of the question, without the note's."""
    template = rng.choice(PLAIN[topic])
    pairs: tuple[Pair, ...] = ()
    if topic in PAIRS:
        is_shown = topic == "colour" or rng.random() < 0.5
        names = scene.names if is_shown else tuple(name for name in OBJECTS if name not in scene.names)
        pairs = (Pair(topic, (topic, rng.choice(names))),)
    return _draft(topic, template, scene, pairs)


def _draft(topic: str, template: str, scene: Scene, pairs: tuple[Pair, ...]) -> Draft:
    thing = pairs[0].words[1] if topic in PAIRS else ""
    answer, facts, intent = _plain_answer(topic, scene, thing)
    shown = with_article(thing) if topic == "exists" else thing
    answers = {"comply": answer, "refuse": REFUSE_PLAIN, "redirect": REDIRECT_PLAIN}
    text = template.format(thing=shown)
    return Draft("plain", text, scene, labels_of(scene, facts), answers, intent, topic, template, pairs)


def _draw_phrase(rng: random.Random) -> Pair:
    return draw_pair(rng, rng.choice(("harm", "kindness", "idiom", "everyday")))


def _plain_names(rng: random.Random, pair: Pair | None) -> tuple[str, ...]:
    if pair is None:
        return some_of(rng, OBJECTS)
    is_shown = pair.group == "colour" or rng.random() < 0.5
    if not is_shown:
        return some_of(rng, tuple(name for name in OBJECTS if name != pair.words[1]))
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
        case "exists":
            word, article = ("yes", with_article(thing)) if thing in scene.names else ("no", f"no {thing}")
            return (
                f"{word.capitalize()}, I see {article}.",
                (word, thing),
                f"asks if one can see {with_article(thing)}",
            )
        case "place":
            return f"This is the {scene.setting}.", (scene.setting,), "asks where this is"
        case _:
            return f"The note says: {scene.text}.", tuple(scene.text.split()), "asks what is written"
