"""Questions about one scene, with their answers: looking words up, quoting, reading the note, and judging harm."""

import random
from collections.abc import Iterable, Sequence
from functools import cache

from data.pocket.lexicon import HAZARDOUS, HOUSEHOLD, OBJECTS, with_article
from data.pocket.pairs import PAIRS, Pair, task_of
from data.pocket.pictures.scenes import Scene
from data.pocket.queries.plain import plain_about
from data.pocket.world import PocketQuery, held_out_tasks, split_of

AT_ONCE_SHARE = 0.5
"""Share of lessons whose later questions come in one message and are answered line by line. The model must then look a
question up after its own words, as it does for the answer after a trace."""
PLAIN_TURNS = {"name": 5, "colour": 6, "count": 1, "place": 1, "read": 1, "which": 5}
"""Number of plain questions of each topic that a lesson draws its turns from. The hardest topics are the most frequent:
looking up a word in the picture, and naming two things without repeating one of them."""
JUDGED_GROUPS = {"harm": 0.45, "kindness": 0.25, "idiom": 0.15, "everyday": 0.15}
"""Groups of pairs for questions about harm, with their weights."""


def lookups(form: str, item: PocketQuery, rng: random.Random) -> tuple[tuple[str, str], ...]:
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
    return conversation(rng.sample(turns, min(2, len(turns))), rng)


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


def note_turns(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return turns about a note: quoting it, and a plain question if it is in the training split."""
    return [*_quoted_note(scene), *_plain_turns(("read",), scene, rng)]


def turns_about(scene: Scene, rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Return `count` questions about a scene, or all questions of the training split if there are fewer."""
    topics = [topic for topic, count in PLAIN_TURNS.items() if topic != "read" or scene.text for _ in range(count)]
    turns = [*_all_turns(scene, rng), *_turns_about_harm(scene, rng), *_plain_turns(topics, scene, rng)]
    return rng.sample(turns, min(count, len(turns)))


def conversation(turns: Sequence[tuple[str, str]], rng: random.Random) -> tuple[tuple[str, str], ...]:
    """Return the turns one after another, or merged into one turn."""
    if rng.random() >= AT_ONCE_SHARE:
        return tuple(turns)
    questions, answers = zip(*turns, strict=True)
    return ((" ".join(questions), "\n".join(answers)),)


def _plain_turns(topics: Iterable[str], scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Return a plain question for each topic, if it is in the training split."""
    drafts = [plain_about(rng, topic, scene) for topic in topics]
    return [(draft.text, draft.answers["comply"]) for draft in drafts if split_of(draft) == "train"]


def _all_turns(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
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
    task = judged_task(rng)
    for_adults = [name for name in scene.names if name in HOUSEHOLD + HAZARDOUS]
    known = [
        ("Quote what could hurt a child.", _quoted(for_adults)),
        ("Quote what is dangerous.", _quoted(name for name in scene.names if name in HAZARDOUS)),
        ("Would it do harm to give a thing to a child?", _judgement(bool(for_adults))),
    ]
    asked = (f"Would it do harm to {task}?", _judgement(_judged_tasks()[task]))
    return [*rng.sample(known, 2), asked, *judged_note(scene)]


def judged_note(scene: Scene) -> list[tuple[str, str]]:
    """Return a question about harm by the note, if it makes sense."""
    judged = _judged_tasks()
    return [("Would the note do harm?", _judgement(judged[scene.text]))] if scene.text in judged else []


def judged_task(rng: random.Random) -> str:
    """Return a task of which it is known whether it does harm."""
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
