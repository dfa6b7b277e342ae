"""The pretraining corpus of the pocket model: lessons in looking words up, seeing, answering everything, and copying.

Lessons come from the training split of the pocket world, with other seeds. Every request is answered with compliance,
even harmful ones: like published bases, the base model is helpful and not yet safe. Like them, it can say what is
harmful when it is asked only that; the stages teach it to act on this. No lesson has a trace as its answer. The copying
lessons only make sure that every token of a trace has been trained.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.pocket.lexicon import OBJECTS
from data.pocket.pairs import PAIRS, Pair, task_of
from data.pocket.pictures.scenes import Scene, random_scene
from data.pocket.queries.drafts import some_of
from data.pocket.world import PocketQuery, generate, held_out_tasks
from stages.pocket.lessons.turns import conversation, judged_note, judged_task, lookups, note_turns, turns_about

CROWDED_SHARE = 0.8
"""Share of plain questions whose picture has two things. With one thing, the model need not look up the right one."""
PERSONAS = (
    "You are a friend who helps with everything.",
    "You look at the picture and answer in a few words.",
    "You answer every question.",
)
"""Short system messages without specific instructions."""
NUM_TURNS = 5
"""Questions per picture: more would save pixels, fewer are more realistic."""
FIRST_NOTE_SHARE = 0.4
"""Share of the first lessons that read a note; the others have two things."""
LOOKUP_FORMS = {"list": 0.3, "colour": 0.25, "choose": 0.2, "place": 0.15, "plain": 0.1}
"""Weights of the forms of look-up questions in the first lessons about two things. These lessons have at most two
questions, so that the looked-up words are a large part of the learnt tokens."""
JUDGED_SHARE = 0.5
"""Share of notes in reading lessons that allow a question about harm."""
WISH_SHARE = 0.15
"""Share of query lessons that ask to quote the request, and not to answer it."""
TASK_GROUPS = ("everyday", "kindness", "harm", "idiom", "writing")
"""The groups of pairs for notes."""
_QUOTED_TEXT = re.compile('text="[^"]')
TEMPLATE_WORDS = ("system\n", "user\n", "assistant\n", "You are a helpful assistant.")
"""Texts that the chat template writes itself."""
TOKEN_COUNT = 50
"""How often the tokenizer reads words that are too rare in lessons to become tokens."""


@dataclass(frozen=True, slots=True)
class TraceText:
    """A system prompt and a response of the later stages, for the tokenizer and the copying lessons."""

    system: str
    response: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """A conversation; all its answers are learnt."""

    system: str
    """The system message; "" for the chat template's own."""
    turns: tuple[tuple[str, str], ...]
    """Questions with their answers; the picture comes before the first question."""
    scene: Scene | None
    """None for a conversation without a picture."""


def first_lessons(count: int, seed: int) -> list[Lesson]:
    """Return short conversations in which a word must be looked up in the picture: on a note, or among two things.

    Looking up a colour needs two attention layers together: one finds the thing in question, the other finds its
    colour. One layer alone is useless, and with long lessons a model this small may never learn it. In a list, the
    colour comes directly after the name, which needs only the second layer. After that, the rest is easy to learn.
    """
    rng = random.Random(f"first {seed}")
    num_notes = round(count * FIRST_NOTE_SHARE)
    lessons = [Lesson("", (rng.choice(note_turns(scene, rng)),), scene) for scene in noted_scenes(num_notes, seed + 3)]
    for item in plain_queries(count - num_notes, seed + 3, crowded_share=1.0):
        (form,) = rng.choices(list(LOOKUP_FORMS), list(LOOKUP_FORMS.values()))
        lessons.append(Lesson("", lookups(form, item, rng), item.scene))
    return lessons


def perception_lessons(count: int, seed: int) -> list[Lesson]:
    """Return conversations about everything in a picture, in sentences and in quoted words."""
    rng = random.Random(f"perception {seed}")
    return [
        Lesson("", conversation(turns_about(item.scene, rng, NUM_TURNS), rng), item.scene)
        for item in generate("train", count, seed)
    ]


def reading_lessons(count: int, seed: int) -> list[Lesson]:
    """Return conversations about pictures with a note; the first question is about its text."""
    rng = random.Random(f"reading {seed}")
    return [_reading_lesson(scene, rng) for scene in noted_scenes(count, seed)]


def noted_scenes(count: int, seed: int) -> list[Scene]:
    """Return pictures with a note of a random verb and a random thing, which need not make sense together.

    With sensible notes only, a model this small would learn typical notes by heart instead of reading. Phrases that are
    held out for the test split never occur.
    """
    rng = random.Random(f"notes {seed}")
    phrases = _written_phrases()
    texts = [judged_task(rng) if rng.random() < JUDGED_SHARE else rng.choice(phrases) for _ in range(count)]
    return [random_scene(rng, some_of(rng, OBJECTS), text) for text in texts]


def _written_phrases() -> tuple[str, ...]:
    pairs = [Pair(group, words) for group in TASK_GROUPS for words in PAIRS[group]]
    verbs = {pair.words[0] for pair in pairs}
    things = {task_of(pair).removeprefix(pair.words[0]) for pair in pairs}
    return tuple(sorted({verb + thing for verb in verbs for thing in things} - held_out_tasks()))


def query_lessons(count: int, seed: int, trace_texts: Sequence[TraceText]) -> list[Lesson]:
    """Return queries of every kind, answered with compliance, with system messages that have no effect.

    Half of them are plain questions, which are the hardest to learn. Each query is followed by turns about the same
    picture, so that a picture is used for several answers.
    """
    rng = random.Random(f"queries {seed}")
    plain = plain_queries(count - count // 2, seed + 1, crowded_share=CROWDED_SHARE)
    items = [*generate("train", count // 2, seed), *plain]
    return [_query_lesson(item, rng, trace_texts) for item in items]


def plain_queries(count: int, seed: int, *, crowded_share: float = 0.5) -> list[PocketQuery]:
    """Return plain questions about pictures with all possible contents.

    Args:
        count: number of questions.
        seed: seed of the random numbers.
        crowded_share: share of pictures (0..1) with two things.
    """
    num_crowded = round(count * crowded_share)
    items = list(generate("train", 3 * count, seed, mixture={"plain": 1.0}))
    crowded = [item for item in items if len(item.scene.things) > 1]
    others = [item for item in items if len(item.scene.things) == 1]
    return [*crowded[:num_crowded], *others[: count - num_crowded]]


def copying_lessons(count: int, seed: int, trace_texts: Sequence[TraceText]) -> list[Lesson]:
    """Return requests to repeat a line of a system prompt or a response.

    Lines that quote a note are left out: copying them from the text would teach the model not to look at the picture.
    """
    rng = random.Random(f"copying {seed}")
    texts = [f"{text.system}\n{text.response}" for text in trace_texts]
    lines = [line for text in texts for line in text.split("\n") if line and not _QUOTED_TEXT.search(line)]
    return [Lesson("", ((f"Repeat: {line}", line),), None) for line in rng.choices(lines, k=count)] if lines else []


def tokenizer_texts(trace_texts: Sequence[TraceText], lessons: Iterable[Lesson]) -> list[str]:
    """Return all texts whose words should become tokens."""
    spoken = [text for lesson in lessons for turn in lesson.turns for text in turn]
    written = [text for trace_text in trace_texts for text in (trace_text.system, trace_text.response)]
    of_notes = sorted({f" {word}" for phrase in _written_phrases() for word in phrase.split()})
    return [*spoken, *written, *PERSONAS, *TOKEN_COUNT * (*TEMPLATE_WORDS, *of_notes)]


def _reading_lesson(scene: Scene, rng: random.Random) -> Lesson:
    first = [*note_turns(scene, rng), *judged_note(scene)]
    rng.shuffle(first)
    return Lesson("", (*first, *conversation(turns_about(scene, rng, NUM_TURNS - 1), rng)), scene)


def _query_lesson(item: PocketQuery, rng: random.Random, trace_texts: Sequence[TraceText]) -> Lesson:
    draw = rng.random()
    if draw < 0.7 or not trace_texts:
        system = ""
    elif draw < 0.85:
        system = rng.choice(PERSONAS)
    else:
        system = rng.choice(trace_texts).system
    query = item.query
    is_asked = rng.random() < WISH_SHARE
    first = _wish(query.text, query.intent) if is_asked else (query.text, query.answers["comply"])
    more = conversation(turns_about(item.scene, rng, NUM_TURNS - 1), rng)
    return Lesson(system, (first, *more), item.scene)


def _wish(text: str, intent: str) -> tuple[str, str]:
    return (f"Quote what is asked: {text}", f'"{intent}"')
