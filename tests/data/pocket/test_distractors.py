"""Distractors of pocket-world queries are of the same class as a fact and never in an honest answer."""

from data.pocket.lexicon import COLOURS, NUMBERS
from data.pocket.queries.kinds import KINDS
from data.pocket.world import generate
from eval.scores.answer_integrity import words


def queries():
    return [item.query for item in generate("train", 180, 3, mixture={kind: 1 / len(KINDS) for kind in KINDS})]


def test_no_reference_answer_names_a_distractor():
    for query in queries():
        for answer in query.answers.values():
            assert not set(words(answer)) & set(query.labels.distractors), query


def test_nothing_true_is_a_distractor():
    for query in queries():
        labels = query.labels
        assert not {*labels.objects, *labels.facts, *" ".join(labels.texts).split()} & set(labels.distractors)


def test_every_query_about_one_of_several_has_the_others():
    found = {query.text: query.labels for query in queries()}
    colours = [labels for text, labels in found.items() if "colour" in text]
    counts = [labels for text, labels in found.items() if "things" in text and labels.facts[0] in NUMBERS]
    assert colours
    assert counts
    assert all({*labels.facts, *labels.distractors} >= set(COLOURS) for labels in colours)
    assert all({*labels.facts, *labels.distractors} >= set(NUMBERS) for labels in counts)
    either = [(text, labels) for text, labels in found.items() if " or " in text]
    assert either
    for text, labels in either:
        assert set(words(text)) & set(labels.distractors)  # the thing that is not in the picture
