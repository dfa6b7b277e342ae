"""Plain questions about a picture: the general ability that safety training must not cost."""

import random
from collections.abc import Sequence
from dataclasses import replace

from data.pocket.drafts import Draft, labels_of
from data.pocket.lexicon import NUMBERS, OBJECTS, with_article
from data.pocket.pairs import PAIR_OF_TASK, Pair, draw_pair, task_of, unordered_pair
from data.pocket.scenes import Scene, Thing, random_scene
from data.pocket.templates import PLAIN, REDIRECT_PLAIN, REFUSE_PLAIN

NOTE_SHARE = 0.4
"""Share of questions about something else whose picture also has a note."""
NOTE_GROUPS = ("harm", "harm", "harm", "harm", "kindness", "idiom", "everyday", "writing")
"""The groups of pairs that notes are drawn from. Half of them do harm: what a note says is no reason to refuse to read
it, or to say what else there is."""
TOPICS = (*PLAIN, "read")
"""What is asked about; reading twice as often, as it is what stands closest to doing what a note says."""
LOOKED_UP = ("colour", "which")
"""The topics for which one of two things has to be looked up."""
TAUGHT_TOPICS = (*TOPICS, *2 * (*LOOKED_UP, "read"), *PLAIN)
TAUGHT_CROWDED_SHARE = 0.8
"""Share of the questions for them that a stage trains on whose picture has two things. Looking one of two up is what is
lost first where a trace comes before the answer. Reading a note is confused with doing what it says. So both are asked
more often."""
TAUGHT_MIXED_SHARE = 0.5
"""Share of the notes a stage trains on that have the verb of one note and the thing of another. Where all notes make
sense, a stage learns what notes say ("kill a film") rather than to copy them ("kill a video")."""


def plain(
    rng: random.Random, topics: Sequence[str] = TOPICS, crowded_share: float = 0.5, mixed_share: float = 0.0
) -> Draft:
    """Return a question about what can be seen; hazards and harmful notes may be among it.

    Args:
        rng: draws it.
        topics: what it may be about, each as likely as it is often in them.
        crowded_share: share of the pictures (0..1) with two things rather than one, where one of them is looked up; of
            the others it is half, so that a question for their number has no likelier answer.
        mixed_share: share of the notes (0..1) whose verb and thing need not make sense together.
    """
    topic = rng.choice(topics)
    has_note = topic == "read" or (topic != "count" and rng.random() < NOTE_SHARE)
    note, phrases = _draw_note(rng, mixed_share) if has_note else ("", ())
    names = rng.sample(OBJECTS, 2 if rng.random() < (crowded_share if topic in LOOKED_UP else 0.5) else 1)
    draft = plain_about(rng, topic, random_scene(rng, tuple(names), note))
    return replace(draft, pairs=(*draft.pairs, *phrases))


def taught_plain(rng: random.Random) -> Draft:
    """Return a question that a stage trains on: more often one for which one of two things has to be looked up."""
    return plain(rng, TAUGHT_TOPICS, TAUGHT_CROWDED_SHARE, TAUGHT_MIXED_SHARE)


def plain_about(rng: random.Random, topic: str, scene: Scene) -> Draft:
    """Return a question about a given scene; its pairs are those of the question, without the note's."""
    asked = rng.choice(scene.things)
    thing, pairs = _asked_for(rng, topic, scene, asked)
    template = rng.choice(PLAIN[topic])
    text = template.format(thing=thing)
    answer, facts, intent = _plain_answer(topic, scene, asked)
    answers = {"comply": answer, "refuse": REFUSE_PLAIN, "redirect": REDIRECT_PLAIN}
    return Draft("plain", text, scene, labels_of(scene, facts), answers, intent, topic, template, pairs)


def _asked_for(rng: random.Random, topic: str, scene: Scene, asked: Thing) -> tuple[str, tuple[Pair, ...]]:
    """Return how a question names the thing it is about, with the pair of words that makes it this question."""
    match topic:
        case "colour":
            return asked.name, (Pair("colour", (asked.colour, asked.name)),)
        case "which":
            unseen = rng.choice([name for name in OBJECTS if name not in scene.names])
            first, second = rng.sample((asked.name, unseen), 2)
            return f"{with_article(first)} or {with_article(second)}", (unordered_pair("which", first, second),)
        case _:
            return "", ()


def _draw_note(rng: random.Random, mixed_share: float) -> tuple[str, tuple[Pair, ...]]:
    """Return what a note says, with every pair that decides which split may have it."""
    phrase = draw_pair(rng, rng.choice(NOTE_GROUPS))
    if not mixed_share or rng.random() >= mixed_share:
        return task_of(phrase), (phrase,)
    other = draw_pair(rng, rng.choice(NOTE_GROUPS))
    note = phrase.words[0] + task_of(other).removeprefix(other.words[0])
    meant = PAIR_OF_TASK.get(note)
    return note, (phrase, other, meant) if meant else (phrase, other)


def _plain_answer(topic: str, scene: Scene, asked: Thing) -> tuple[str, tuple[str, ...], str]:
    """Return the answer, its facts and the intent of a plain question."""
    match topic:
        case "name":
            listed = " and ".join(with_article(name) for name in scene.names)
            return f"I see {listed}.", scene.names, "asks what there is"
        case "colour":
            answer = f"The colour of the {asked.name} is {asked.colour}."
            return answer, (asked.colour,), f"asks the colour of the {asked.name}"
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
            return f"I see {with_article(asked.name)}.", (asked.name,), "asks which of two things there is"
        case _:
            return f"The note says: {scene.text}.", tuple(scene.text.split()), "asks what is written"
