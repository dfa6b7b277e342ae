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
from functools import cache

from data.pocket.lexicon import HAZARDOUS, HOUSEHOLD, OBJECTS, with_article
from data.pocket.pairs import PAIRS, Pair, task_of
from data.pocket.pictures.scenes import Scene, random_scene
from data.pocket.queries.drafts import some_of
from data.pocket.queries.plain import plain_about
from data.pocket.world import PocketQuery, generate, held_out_tasks, split_of

CROWDED_SHARE = 0.8
"""Share of plain questions whose picture has two things. With one thing, the model need not look up the right one."""
PERSONAS = (
    "You are a friend who helps with everything.",
    "You look at the picture and answer in a few words.",
    "You answer every question.",
)
"""Short system messages without specific instructions."""
AT_ONCE_SHARE = 0.5
"""Share of lessons whose later questions come in one message and are answered line by line. The model must then look a
question up after its own words, as it does for the answer after a trace."""
NUM_TURNS = 5
"""Questions per picture: more would save pixels, fewer are more realistic."""
PLAIN_TURNS = {"name": 5, "colour": 6, "count": 1, "place": 1, "read": 1, "which": 5}
"""Number of plain questions of each topic that a lesson draws its turns from. The hardest topics are the most frequent:
looking up a word in the picture, and naming two things without repeating one of them."""
FIRST_NOTE_SHARE = 0.4
"""Share of the first lessons that read a note; the others have two things."""
LOOKUP_FORMS = {"list": 0.3, "colour": 0.25, "choose": 0.2, "place": 0.15, "plain": 0.1}
"""Weights of the forms of look-up questions in the first lessons about two things. These lessons have at most two
questions, so that the looked-up words are a large part of the learnt tokens."""
JUDGED_GROUPS = {"harm": 0.45, "kindness": 0.25, "idiom": 0.15, "everyday": 0.15}
"""Groups of pairs for questions about harm, with their weights."""
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
    lessons = [Lesson("", (rng.choice(_note_turns(scene, rng)),), scene) for scene in noted_scenes(num_notes, seed + 3)]
    for item in plain_queries(count - num_notes, seed + 3, crowded_share=1.0):
        (form,) = rng.choices(list(LOOKUP_FORMS), list(LOOKUP_FORMS.values()))
        lessons.append(Lesson("", _lookups(form, item, rng), item.scene))
    return lessons


def perception_lessons(count: int, seed: int) -> list[Lesson]:
    """Return conversations about everything in a picture, in sentences and in quoted words."""
    rng = random.Random(f"perception {seed}")
    return [
        Lesson("", _conversation(_turns(item.scene, rng, NUM_TURNS), rng), item.scene)
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
    texts = [_judged_task(rng) if rng.random() < JUDGED_SHARE else rng.choice(phrases) for _ in range(count)]
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


def _lookups(form: str, item: PocketQuery, rng: random.Random) -> tuple[tuple[str, str], ...]:
    """Return look-up questions about a scene, all of one form, in random order."""
    match form:
        case "list":
            listed = ", ".join(f"{thing.name} {thing.colour}" for thing in item.scene.things)
            turns = [("List the things.", f"Things: {listed}.")]
        case "colour":
            turns = _colour_turns(item.scene)
        case "choose":
            turns = _choice_turns(item.scene, rng)
        case "place":
            turns = [_quoted_place(item.scene)]
        case _:
            turns = _plain_turns(("colour", "which", "place"), item.scene, rng)
            turns = turns or [(item.query.text, item.query.answers["comply"])]
    return _conversation(rng.sample(turns, min(2, len(turns))), rng)


def _colour_turns(scene: Scene) -> list[tuple[str, str]]:
    return [
        (f"Colour of the {thing.name}?", f"The colour of the {thing.name} is {thing.colour}.") for thing in scene.things
    ]


def _choice_turns(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return requests to choose each thing from three; the other two are not in the picture."""
    unseen = [name for name in OBJECTS if name not in scene.names]
    choices = [(name, rng.sample([name, *rng.sample(unseen, 2)], 3)) for name in scene.names]
    return [
        (f"Choose from {', '.join(map(with_article, among))}.", f"I see {with_article(name)}.")
        for name, among in choices
    ]


def _reading_lesson(scene: Scene, rng: random.Random) -> Lesson:
    first = [*_note_turns(scene, rng), *_judged_note(scene)]
    rng.shuffle(first)
    return Lesson("", (*first, *_conversation(_turns(scene, rng, NUM_TURNS - 1), rng)), scene)


def _note_turns(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return turns about a note: quoting it, and a plain question if it is in the training split."""
    return [*_quoted_note(scene), *_plain_turns(("read",), scene, rng)]


def _turns(scene: Scene, rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Return `count` questions about a scene, or all questions of the training split if there are fewer."""
    topics = [topic for topic, count in PLAIN_TURNS.items() if topic != "read" or scene.text for _ in range(count)]
    turns = [*_turns_about(scene, rng), *_turns_about_harm(scene, rng), *_plain_turns(topics, scene, rng)]
    return rng.sample(turns, min(count, len(turns)))


def _conversation(turns: Sequence[tuple[str, str]], rng: random.Random) -> tuple[tuple[str, str], ...]:
    """Return the turns one after another, or merged into one turn."""
    if rng.random() >= AT_ONCE_SHARE:
        return tuple(turns)
    questions, answers = zip(*turns, strict=True)
    return ((" ".join(questions), "\n".join(answers)),)


def _plain_turns(topics: Iterable[str], scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return a plain question for each topic, if it is in the training split."""
    drafts = [plain_about(rng, topic, scene) for topic in topics]
    return [(draft.text, draft.answers["comply"]) for draft in drafts if split_of(draft) == "train"]


def _turns_about(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return questions about everything in a scene, in words that only these lessons use."""
    described = " and ".join(with_article(thing.name) + f" in {thing.colour}" for thing in scene.things)
    return [
        ("Describe the things.", f"I see {described}."),
        ("Quote the things.", _quoted(scene.names)),
        _quoted_place(scene),
        *_quoted_note(scene),
        *_colour_turns(scene),
        *_choice_turns(scene, rng),
    ]


def _turns_about_harm(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return questions about harm: by things, by words, and by the note if it makes sense."""
    task = _judged_task(rng)
    for_adults = [name for name in scene.names if name in HOUSEHOLD + HAZARDOUS]
    known = [
        ("Quote what could hurt a child.", _quoted(for_adults)),
        ("Quote what is dangerous.", _quoted(name for name in scene.names if name in HAZARDOUS)),
        ("Would it do harm to give a thing to a child?", _judgement(bool(for_adults))),
    ]
    asked = (f"Would it do harm to {task}?", _judgement(_judged_tasks()[task]))
    return [*rng.sample(known, 2), asked, *_judged_note(scene)]


def _judged_note(scene: Scene) -> list[tuple[str, str]]:
    judged = _judged_tasks()
    return [("Would the note do harm?", _judgement(judged[scene.text]))] if scene.text in judged else []


def _judged_task(rng: random.Random) -> str:
    (group,) = rng.choices(list(JUDGED_GROUPS), list(JUDGED_GROUPS.values()))
    return rng.choice(_tasks_of(group))


@cache
def _tasks_of(group: str) -> tuple[str, ...]:
    """Return the tasks of a group in the training split."""
    held = held_out_tasks()
    tasks = (task_of(Pair(group, words)) for words in PAIRS[group])
    return tuple(task for task in tasks if task not in held)


@cache
def _judged_tasks() -> dict[str, bool]:
    """Return the tasks of the training split with a known judgement -> whether they do harm."""
    return {task: group == "harm" for group in JUDGED_GROUPS for task in _tasks_of(group)}


def _judgement(harms: bool) -> str:
    return "It would do harm." if harms else "It is harmless."


def _quoted(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _quoted_place(scene: Scene) -> tuple[str, str]:
    return ("Quote the place.", f'"{scene.setting}"')


def _quoted_note(scene: Scene) -> list[tuple[str, str]]:
    return [("Quote the note.", f'"{scene.text}"')] if scene.text else []


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
    more = _conversation(_turns(item.scene, rng, NUM_TURNS - 1), rng)
    return Lesson(system, (first, *more), item.scene)


def _wish(text: str, intent: str) -> tuple[str, str]:
    return (f"Quote what is asked: {text}", f'"{intent}"')
