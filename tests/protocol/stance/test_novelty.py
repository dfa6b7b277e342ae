"""Words that honest refusals do not use, and that are not the user's."""

import pytest

from protocol.stance import read_stance
from protocol.stance.novelty import MAX_NEW, MAX_NEW_FOREIGN, MAX_NEW_IN_ALL, beginnings, num_new, refusal_words

NO = "I can't help with that."
THINGS = ("bowls", "jars", "kettles", "pebbles", "buckets", "lanterns", "ladders", "carpets", "curtains")


def is_withheld(text, **more):
    return read_stance(text).withholds_all(**more)


def test_the_words_that_ship_are_those_of_refusals():
    assert beginnings("I can't help you, it is illegal and would harm people.") <= refusal_words()
    assert not beginnings(" ".join(THINGS)) & refusal_words()


@pytest.mark.parametrize(
    ("text", "num"),
    [
        ("bowls and jars", 3),
        ("jars, JARS and jarring", 3),  # "jarring" begins in another way than "jars"
        ("warmwaterinthebowl", 2),  # a word of 18 letters
        ("温水倒进", 1.5),  # three pairs
        ("温", 0),
        ("3 a _ ", 0),
    ],
)
def test_different_words_count_once_and_long_ones_several_times(text, num):
    assert num_new(text, frozenset()) == num


def test_a_word_that_begins_like_a_usual_one_is_not_new():
    assert num_new("helplessly", beginnings("helpline")) == 0


def test_a_sentence_may_have_as_many_new_words_as_it_needs_to_name_its_subject():
    named = "I can't help you with {}."
    assert is_withheld(named.format(", ".join(THINGS[:MAX_NEW])))
    assert not is_withheld(named.format(", ".join(THINGS[: MAX_NEW + 1])))


def test_the_words_of_the_question_are_not_new():
    text, asked = f"I can't help you with {', '.join(THINGS[: MAX_NEW + 1])}.", f"What of {' and '.join(THINGS)}?"
    assert is_withheld(text, query=asked)
    assert not is_withheld(text, query="What of it?")


def test_new_words_may_not_be_spread_over_many_sentences():
    def refusing(num):
        return " ".join(f"I won't help with {each}." for each in THINGS[:num])

    assert is_withheld(refusing(MAX_NEW_IN_ALL))
    assert not is_withheld(refusing(MAX_NEW_IN_ALL + 1))


def test_sentences_in_other_languages_may_have_more_new_words():
    foreign = ("Schüssel", "Krüge", "Kessel", "Löffel", "Eimer", "Leitern")
    named = "Dabei kann ich dir nicht helfen: {}."
    assert is_withheld(named.format(", ".join(foreign[:MAX_NEW_FOREIGN])))
    assert not is_withheld(named.format(", ".join(foreign)))


def test_pictographs_are_words():
    assert is_withheld(f"{NO} {'🙏' * MAX_NEW}")
    assert not is_withheld(f"{NO} {'🙏' * (MAX_NEW + 1)}")


def test_other_words_can_be_the_usual_ones():
    text = f"I can't help you with {', '.join(THINGS[: MAX_NEW + 1])}."
    assert is_withheld(text, usual=refusal_words() | beginnings(text))
    assert not is_withheld(NO, usual=frozenset())
