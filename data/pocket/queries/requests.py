"""Requests: harmless ones, and ones that the text, the picture or both together make harmful."""

import random
from dataclasses import replace
from typing import Any

from data.pocket.lexicon import CATEGORY_OF_VERB, OBJECTS
from data.pocket.pairs import SAFE_ALONE, Pair, draw_pair, task_of
from data.pocket.pictures.scenes import Scene, random_scene
from data.pocket.queries.drafts import PocketDraft, labels_of, some_of, with_another
from data.pocket.queries.templates import COMPLY, GIFT, HOW_TO, NOTE, REDIRECT, REDIRECT_GIFT, REFUSE, TOYS
from data.splits import content_key
from protocol.labels import Decision, Risk


def everyday(rng: random.Random) -> PocketDraft:
    """Return a harmless task that involves an object in the picture, or a person."""
    if rng.random() < 0.35:
        return _how_to(rng, "everyday", draw_pair(rng, "kindness"), random_scene(rng, some_of(rng, SAFE_ALONE)))
    return _object_task(rng, "everyday", draw_pair(rng, "everyday"), SAFE_ALONE)


def hazard_image(rng: random.Random) -> PocketDraft:
    """Return a harmless task with a hazardous object in the picture."""
    return _object_task(rng, "hazard_image", draw_pair(rng, "hazard"), OBJECTS)


def harmful_text(rng: random.Random) -> PocketDraft:
    """Return a harmful task over a harmless picture."""
    return _how_to(rng, "harmful_text", draw_pair(rng, "harm"), random_scene(rng, some_of(rng, SAFE_ALONE)))


def frightening(rng: random.Random) -> PocketDraft:
    """Return a harmless task with a harmful verb, such as "kill time"."""
    if rng.random() < 0.3:
        pair = draw_pair(rng, "photo")
        return _how_to(rng, "frightening", pair, random_scene(rng, (pair.words[1].split()[-1],)))
    return _how_to(rng, "frightening", draw_pair(rng, "idiom"), random_scene(rng, some_of(rng, SAFE_ALONE)))


def compositional(rng: random.Random) -> PocketDraft:
    """Return a request about a child and a household object: text and picture are harmless, but harmful together."""
    return _gift(rng, "compositional", draw_pair(rng, "danger"))


def compositional_safe(rng: random.Random) -> PocketDraft:
    """Return a request with the text of `compositional` and a harmless object."""
    return _gift(rng, "compositional_safe", draw_pair(rng, "gift"))


def typographic(rng: random.Random) -> PocketDraft:
    """Return a request to follow a note that names a harmful task; the picture is harmless otherwise."""
    return _note(rng, "typographic", draw_pair(rng, "harm"))


def typographic_safe(rng: random.Random) -> PocketDraft:
    """Return a request with the text of `typographic` and a harmless note.

    Half of the notes name a person too, and a quarter have a harmful verb.
    """
    return _note(rng, "typographic_safe", draw_pair(rng, rng.choice(("kindness", "kindness", "idiom", "everyday"))))


def _object_task(rng: random.Random, kind: str, pair: Pair, others: tuple[str, ...]) -> PocketDraft:
    """Return a task with an object; where the text says "this", the picture has no other object."""
    action, thing = pair.words
    wording = rng.choice((f"{action} the {thing}", f"{action} this {thing}", f"{action} this"))
    is_alone = wording == f"{action} this" or rng.random() < 0.5
    scene = random_scene(rng, (thing,) if is_alone else with_another(rng, thing, others))
    return _how_to(rng, kind, pair, scene, wording)


def _how_to(rng: random.Random, kind: str, pair: Pair, scene: Scene, wording: str = "") -> PocketDraft:
    template = rng.choice(HOW_TO)
    task = task_of(pair)
    asked = wording or (f"{pair.words[0]} my {pair.words[1]}" if pair.group in {"harm", "kindness"} else task)
    labels = labels_of(scene, _content_words(task))
    if pair.group == "harm":
        category = CATEGORY_OF_VERB[pair.words[0]]
        labels = replace(labels, text_risk=Risk.UNSAFE, **_unsafe(category, Decision.REFUSE))
    text = template.format(task=asked)
    return PocketDraft(kind, text, scene, labels, _answers(task), task, "how_to", template, (pair,))


def _gift(rng: random.Random, kind: str, pair: Pair) -> PocketDraft:
    recipient, thing = pair.words
    template = rng.choice(GIFT)
    scene = random_scene(rng, (thing,))
    intent = f"give the {thing} to the {recipient}"
    labels = labels_of(scene, ("give", thing, recipient))
    if pair.group == "danger":
        labels = replace(labels, facts=(thing, recipient), **_unsafe("child-safety", Decision.REDIRECT))
    toy = _worded(TOYS, recipient)
    redirect = _worded(REDIRECT_GIFT, intent).format(thing=thing, recipient=recipient, toy=toy)
    answers = _answers(intent) | {"redirect": redirect}
    text = template.format(recipient=recipient)
    return PocketDraft(kind, text, scene, labels, answers, intent, "gift", template, (pair,))


def _note(rng: random.Random, kind: str, pair: Pair) -> PocketDraft:
    """Return a note over random things. If hazards came only with harmful notes, a policy need not read the note."""
    template = rng.choice(NOTE)
    task = task_of(pair)
    scene = random_scene(rng, some_of(rng, SAFE_ALONE), task)
    labels = labels_of(scene, _content_words(task))
    if pair.group == "harm":
        labels = replace(labels, **_unsafe("injection", Decision.REFUSE))
    return PocketDraft(kind, template, scene, labels, _answers(task), task, "note", template, (pair,))


def _unsafe(category: str, decision: Decision) -> dict[str, Any]:
    """Return the labels of a request that text and picture together make harmful."""
    return {"combined_risk": Risk.UNSAFE, "category": category, "decision": decision}


def _answers(intent: str) -> dict[str, str]:
    return {
        "comply": COMPLY.format(intent=intent),
        "refuse": _worded(REFUSE, intent).format(intent=intent),
        "redirect": _worded(REDIRECT, intent).format(intent=intent),
    }


def _worded(wordings: tuple[str, ...], intent: str) -> str:
    """Return one of the wordings. The same intent always gets the same wording, so that a model can learn it."""
    return wordings[int(content_key(intent)[:8], 16) % len(wordings)]


def _content_words(task: str) -> tuple[str, ...]:
    return tuple(word for word in task.split() if word not in {"a", "an", "the", "of"})
