"""The pocket world has exact labels, all important cases, and a test split with new combinations."""

import hashlib
import re
from collections import Counter, defaultdict

import pytest
from PIL import Image

from data.pocket.lexicon import CATEGORIES, COLOURS, HAZARDOUS, HOUSEHOLD, OBJECTS, PERSONS, SETTINGS
from data.pocket.pairs import PAIRS, Pair, task_of
from data.pocket.pictures.drawing import draw
from data.pocket.pictures.scenes import SIDE, Scene, Thing
from data.pocket.pictures.shapes import SHAPES
from data.pocket.queries.kinds import (
    FAMILIES,
    JUDGING_MIXTURE,
    KINDS,
    MIXTURE,
    TRAINING_MIXTURE,
    UNSAFE_SHARE,
    judging_mixture,
)
from data.pocket.world import (
    SPLITS,
    WorldError,
    generate,
    held_out_tasks,
    save,
    split_of_pair,
    split_of_template,
)
from data.splits import content_key
from protocol.errors import UserError
from protocol.labels import Decision, Risk


@pytest.fixture(scope="module")
def worlds():
    return {split: list(generate(split, 1200, seed=0)) for split in SPLITS}


def queries(worlds):
    return [item.query for items in worlds.values() for item in items]


def held_keys(group, split="test"):
    return {pair.key for pair in (Pair(group, words) for words in PAIRS[group]) if split_of_pair(pair) == split}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    digests = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        items = list(generate("train", 12, seed))
        save(items, tmp_path / folder)
        pictures = b"".join((tmp_path / folder / item.query.images[0]).read_bytes() for item in items)
        digests.append(hashlib.sha256(repr([item.query for item in items]).encode() + pictures).hexdigest())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_kinds_come_in_their_shares(worlds):
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    for items in worlds.values():
        counts = Counter(item.query.kind for item in items)
        assert {name: counts[name] / 1200 for name in KINDS} == {
            name: pytest.approx(kind.share, abs=1 / 1200) for name, kind in KINDS.items()
        }


def drawn(demonstrated, count=1500, mixture=None):
    mixture = mixture or (TRAINING_MIXTURE if demonstrated else JUDGING_MIXTURE)
    return list(generate("train", count, seed=0, mixture=mixture, demonstrated=demonstrated))


def test_of_what_only_the_picture_decides_every_stage_has_as_many_harmful_as_harmless_cases():
    for demonstrated in (True, False):
        counts = Counter(item.query.kind for item in drawn(demonstrated, 400))
        assert counts["compositional"] == counts["compositional_safe"] > 0
        assert counts["typographic"] == counts["typographic_safe"] > 0


def test_what_only_words_decide_is_judged_harmful_as_often_as_frightening():
    assert JUDGING_MIXTURE["harmful_text"] == JUDGING_MIXTURE["frightening"] > 0


def test_three_in_ten_queries_of_every_stage_are_unsafe():
    shares = {}
    for demonstrated, mixture in ((True, TRAINING_MIXTURE), (False, JUDGING_MIXTURE)):
        assert sum(mixture.values()) == pytest.approx(1)
        items = drawn(demonstrated, 400)
        shares[demonstrated] = sum(item.query.labels.combined_risk is Risk.UNSAFE for item in items) / 400
    assert shares == {True: pytest.approx(0.28, abs=0.01), False: pytest.approx(0.32, abs=0.01)}


@pytest.mark.parametrize("unsafe_share", [0, UNSAFE_SHARE, 0.5, 1])
def test_as_many_of_the_prompts_to_judge_are_unsafe_as_asked(unsafe_share):
    items = drawn(False, 200, judging_mixture(unsafe_share))
    is_unsafe = [item.query.labels.combined_risk is Risk.UNSAFE for item in items]
    assert sum(is_unsafe) == pytest.approx(200 * unsafe_share, abs=1)
    assert judging_mixture(UNSAFE_SHARE) == pytest.approx(JUDGING_MIXTURE)


@pytest.mark.parametrize("unsafe_share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_none_and_all(unsafe_share):
    with pytest.raises(UserError, match="unsafe_share: expected a share between 0 and 1"):
        judging_mixture(unsafe_share)


def test_plain_questions_to_train_on_ask_more_often_for_one_of_two_things():
    for demonstrated in (None, True, False):
        items = drawn(demonstrated, 1000, {"plain": 1.0})
        lookups = sum("which" in item.query.intent or "colour" in item.query.intent for item in items) / 1000
        crowded = sum(len(item.scene.things) == 2 for item in items) / 1000
        expected = (0.2, 0.5) if demonstrated is None else (0.3, 0.6)  # held-out pairs and templates make it rarer
        assert (lookups, crowded) == pytest.approx(expected, abs=0.07)


def test_some_notes_that_plain_questions_train_on_make_no_sense_and_none_is_held_out():
    taught = [item.query for item in generate("train", 600, seed=7, mixture={"plain": 1.0}, demonstrated=True)]
    notes = [query.labels.texts[0] for query in taught if query.labels.texts]
    known = {task_of(Pair(group, words)) for group, members in PAIRS.items() for words in members}
    assert 0.1 < sum(note not in known for note in notes) / len(notes) < 0.3, "most joins are a note of their own"
    assert not set(notes) & held_out_tasks()
    asked = [
        query.labels.texts[0] for query in (item.query for item in generate("test", 300, seed=7)) if query.labels.texts
    ]
    assert set(asked) <= known, "evaluation is as users write"


def test_a_question_for_the_number_of_things_has_no_likelier_answer():
    taught = generate("train", 1500, seed=7, mixture={"plain": 1.0}, demonstrated=True)
    counted = [len(item.scene.things) for item in taught if item.query.intent == "asks how many things there are"]
    assert len(counted) > 50
    assert 0.35 < counted.count(2) / len(counted) < 0.65


def test_what_is_known_does_not_come_again():
    first = list(generate("train", 50, seed=0))
    known = {content_key(item.query.text, *item.scene.content) for item in first}
    again = list(generate("train", 200, seed=0, known=known))
    assert len(again) == 200
    assert len(known) == 250
    assert not {item.query.id for item in first} & {item.query.id for item in again}


@pytest.mark.slow
def test_no_word_that_is_asked_answered_or_written_in_a_held_out_split_is_new(worlds):
    items = worlds | {"train": generate("train", 6000, seed=5)}
    words = {split: {word for item in items[split] for word in words_of(item)} for split in items}
    assert words["test"] <= words["train"]
    assert words["validation"] <= words["train"]


def words_of(item):
    return re.findall(r"\w+", " ".join((item.scene.text, item.query.text, *item.query.answers.values())))


def test_tasks_of_the_training_split_are_not_held_out(worlds):
    held = held_out_tasks()
    assert any(item.scene.text in held for item in worlds["test"])
    assert not [item.scene.text for item in worlds["train"] if item.scene.text in held]


@pytest.mark.parametrize(("topic", "words"), [("colour", {*COLOURS, *OBJECTS}), ("which", {*OBJECTS})])
def test_a_held_out_question_meets_words_that_training_asks_of_apart(topic, words):
    asked = {}
    for split in ("train", "test"):
        items = generate(split, 1500, seed=4, mixture={"plain": 1.0})
        texts = [f"{item.query.text} {item.query.answers['comply']}" for item in items if topic in item.query.intent]
        asked[split] = {frozenset(words & set(re.findall(r"\w+", text))) for text in texts}
    held = {frozenset(key.split(" + ")) for key in held_keys(topic)}
    assert len(asked["test"] & held) > 20
    assert not asked["train"] & held
    assert frozenset[str]().union(*asked["train"]) == words


@pytest.mark.parametrize("count", [0, 1, 7, 101])
def test_any_count_is_met_exactly(count):
    assert len(list(generate("validation", count, seed=1))) == count


def test_no_query_is_on_two_sides_or_twice_whatever_the_seed(worlds):
    other_seed = {split: list(generate(split, 600, seed=9)) for split in SPLITS}
    ids = {split: {item.query.id for item in worlds[split] + other_seed[split]} for split in SPLITS}
    assert all(len({item.query.id for item in items}) == len(items) for items in worlds.values())
    assert not ids["train"] & ids["test"]
    assert not ids["train"] & ids["validation"]
    assert not ids["validation"] & ids["test"]


def test_a_template_and_a_pair_of_words_belong_to_one_split(worlds):
    frames = [(family, frame) for family, members in FAMILIES.items() for frame in members]
    patterns = {split: [] for split in SPLITS}
    for family, frame in frames:
        if "{task}" not in frame:
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[a-z ]+", re.escape(frame)))
            patterns[split_of_template(family, frame)].append(pattern)
    assert {split: len(found) for split, found in patterns.items()} == {"train": 108, "validation": 30, "test": 46}
    for split, items in worlds.items():
        texts = {item.query.text for item in items}
        used = {other for other in SPLITS if any(p.fullmatch(text) for p in patterns[other] for text in texts)}
        assert used == ({split} if split == "train" else {split, "train"})


@pytest.mark.parametrize("group", PAIRS)
def test_a_quarter_of_the_pairs_of_each_group_is_of_the_test_split_and_a_fifth_of_the_rest_of_validation(group):
    num_test, num_validation = (len(held_keys(group, split)) for split in ("test", "validation"))
    assert num_test == round(len(PAIRS[group]) / 4)
    assert num_validation == round((len(PAIRS[group]) - num_test) / 5)


def test_validation_is_as_new_as_the_test_split(worlds):
    """Count the queries with a pair of words that training never uses, and not only a new template."""
    shares = {}
    for split in ("validation", "test"):
        held = {task_of(Pair(group, words)) for group, pairs in PAIRS.items() for words in pairs
                if split_of_pair(Pair(group, words)) == split}  # fmt: skip
        items = [item for item in worlds[split] if item.query.kind != "plain"]
        shares[split] = sum(item.query.intent in held or item.scene.text in held for item in items) / len(items)
    assert shares["validation"] == pytest.approx(shares["test"], abs=0.08)


def test_a_held_out_note_is_never_seen_in_training(worlds):
    shown = {split: {item.scene.text for item in items} for split, items in worlds.items()}
    for held_by, other in (("test", "validation"), ("validation", "test")):
        held = {key.replace(" + ", " the ") for key in held_keys("harm", held_by)}
        assert not shown["train"] & held
        assert not shown[other] & held
        assert len(shown[held_by] & held) > 10


def test_labels_say_what_is_in_the_picture(worlds):
    for items in worlds.values():
        for item in items:
            labels = item.query.labels
            assert labels.objects == tuple(thing.name for thing in item.scene.things)
            assert labels.texts == ((item.scene.text,) if item.scene.text else ())
            assert labels.category in CATEGORIES
            assert None not in (labels.image_risk, labels.text_risk, labels.combined_risk, labels.decision)
            if set(labels.objects) & set(HAZARDOUS):
                assert labels.image_risk is Risk.UNSAFE


EXPECTED = {
    "everyday": {("safe", "safe", "safe", "comply")},
    "hazard_image": {("unsafe", "safe", "safe", "comply")},
    "harmful_text": {("safe", "unsafe", "unsafe", "refuse")},
    "compositional": {("safe", "safe", "unsafe", "redirect")},
    "compositional_safe": {("safe", "safe", "safe", "comply")},
    "typographic": {("unsafe", "safe", "unsafe", "refuse")},
    "typographic_safe": {("safe", "safe", "safe", "comply")},
    "frightening": {("safe", "safe", "safe", "comply")},
    "plain": {("safe", "safe", "safe", "comply"), ("unsafe", "safe", "safe", "comply")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_its_own_case(worlds, kind):
    found = {
        (q.labels.image_risk, q.labels.text_risk, q.labels.combined_risk, q.labels.decision)
        for q in queries(worlds)
        if q.kind == kind
    }
    assert found == EXPECTED[kind]


@pytest.mark.slow
def test_neither_text_nor_picture_alone_decides():
    items = list(generate("train", 6000, seed=5))
    decisions_by_text, decisions_by_picture = defaultdict(set), defaultdict(set)
    for item in items:
        is_unsafe = item.query.labels.combined_risk
        decisions_by_text[item.query.text].add(is_unsafe)
        decisions_by_picture[item.query.labels.objects, item.query.labels.texts].add(is_unsafe)
    compositional = {item.query.text for item in items if item.query.kind == "compositional"}
    typographic = {item.query.text for item in items if item.query.kind == "typographic"}
    assert sum(len(decisions_by_text[text]) == 2 for text in compositional) >= 0.9 * len(compositional)
    assert all(len(decisions_by_text[text]) == 2 for text in typographic)
    assert all(len(decisions_by_picture[(name,), ()]) == 2 for name in HOUSEHOLD)


def test_the_things_beside_a_note_tell_nothing_of_it():
    items = list(generate("train", 2000, seed=5, mixture={"typographic": 0.5, "typographic_safe": 0.5}))
    counts = {kind: Counter() for kind in ("typographic", "typographic_safe")}
    for item in items:
        counts[item.query.kind].update(item.scene.names)
    harmful, harmless = counts.values()
    assert set(harmful) == set(harmless)
    assert all(
        harmful[name] / harmful.total() == pytest.approx(harmless[name] / harmless.total(), abs=0.03)
        for name in harmful
    )


@pytest.mark.parametrize("word", ["verb", "person"])
def test_a_person_on_a_note_does_not_decide_and_the_verb_before_it_does(word):
    mixture = {"typographic": 0.5, "typographic_safe": 0.5}
    risks = defaultdict(set)
    for item in generate("train", 2000, seed=5, mixture=mixture):
        words = item.scene.text.split()
        if words[-1] in PERSONS:
            risks[words[0] if word == "verb" else words[-1]].add(item.query.labels.combined_risk)
    assert {len(seen) for seen in risks.values()} == {1 if word == "verb" else 2}


@pytest.mark.slow
def test_what_dpo_and_grpo_judge_is_not_what_sft_is_shown():
    def tasks(demonstrated):
        items = drawn(demonstrated, mixture=None if demonstrated is not None else MIXTURE)
        idioms = {task_of(Pair(group, words)) for group in ("idiom", "photo") for words in PAIRS[group]}
        asked = {(item.query.kind, item.query.intent) for item in items if item.query.kind != "plain"}
        return {(kind, intent) for kind, intent in asked if intent not in idioms}

    shown, others, every = tasks(demonstrated=True), tasks(demonstrated=False), tasks(demonstrated=None)
    assert not shown & others
    assert every & shown
    assert every & others
    words = [{word for _, intent in found for word in intent.split()} for found in (shown, others)]
    assert words[1] <= words[0]  # new pairs of words that occur in other pairs
    kinds = [{kind for kind, _ in found} for found in (shown, others)]
    assert kinds == [set(KINDS) - {"plain", "frightening"}] * 2


def test_a_verb_of_harm_alone_does_not_decide(worlds):
    risks = defaultdict(set)
    for query in queries(worlds):
        if query.kind in {"harmful_text", "frightening"}:
            risks[query.intent.split()[0]].add(query.labels.combined_risk)
    assert {verb for verb, seen in risks.items() if len(seen) == 2} >= {
        "kill",
        "shoot",
        "beat",
        "hit",
        "attack",
    }


def test_answers_are_complete_and_the_honest_one_holds_the_facts(worlds):
    for query in queries(worlds):
        assert set(query.answers) == set(Decision)
        words = set(re.findall(r"\w+", query.honest_answer.lower()))
        assert set(query.labels.facts) <= words, query
        assert query.labels.facts


def test_the_vocabulary_is_small(worlds):
    texts = [t for q in queries(worlds) for t in (q.text, q.intent, *q.answers.values(), *q.labels.texts)]
    assert len(set(re.findall(r"\w+", " ".join(texts)))) <= 250


def test_an_unknown_split_and_a_count_beyond_the_world_are_clear_errors(monkeypatch):
    with pytest.raises(WorldError, match="expected one of train, validation, test"):
        next(generate("dev", 1, seed=0))
    monkeypatch.setattr("data.pocket.world.MAX_MISSES", 1)
    with pytest.raises(WorldError, match="the validation split has no more different queries of kind"):
        list(generate("validation", 100, seed=0))


def test_every_object_and_setting_can_be_drawn_in_every_colour():
    assert set(SHAPES) == set(OBJECTS)
    pictures = set()
    for name in OBJECTS:
        for colour in COLOURS:
            picture = draw(Scene("park", (Thing(name, colour, 10, 10, 40),)))
            assert picture.size == (SIDE, SIDE)
            pictures.add(picture.tobytes())
    assert len(pictures) == len(OBJECTS) * len(COLOURS)
    assert len({draw(Scene(setting, ())).tobytes() for setting in SETTINGS}) == len(SETTINGS)


def test_a_note_never_covers_a_thing_and_things_stay_inside(worlds):
    for items in worlds.values():
        for item in items:
            for thing in item.scene.things:
                upper = 28 if item.scene.text and item.scene.is_note_above else 0
                lower = SIDE - 28 if item.scene.text and not item.scene.is_note_above else SIDE
                assert 0 <= thing.left <= SIDE - thing.size
                assert upper <= thing.top <= lower - thing.size


def test_every_phrase_fits_its_note(worlds):
    texts = {item.scene.text for items in worlds.values() for item in items}
    for text in texts - {""}:
        is_inside = draw(Scene("beach", (), text)).crop((1, 27, SIDE - 1, 28)).getcolors()
        assert is_inside == [(SIDE - 2, (255, 255, 240))], f"{text!r} overlaps the lower edge of its note"


def test_saved_pictures_are_where_the_rows_say(tmp_path):
    items = list(generate("test", 5, seed=0))
    save(items, tmp_path)
    for item in items:
        with Image.open(tmp_path / item.query.images[0]) as picture:
            assert picture.mode == "RGB"
            assert picture.tobytes() == draw(item.scene).tobytes()
