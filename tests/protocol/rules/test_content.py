"""What a text is about: which words count as the same, what an answer announces, and which act of harm it names."""

import doctest

import pytest

from protocol.rules import content
from protocol.rules.content import all_stems, announced, harm_in, stems


def test_words_are_the_same_if_their_first_five_letters_are():
    assert stems("cleaning") == stems("cleaner") == {"clean"}
    assert stems("planet") != stems("plants")
    assert stems("an axe, an ox") == {"axe"}  # words of one or two letters say nothing


def test_the_first_four_thousand_characters_of_an_answer_are_searched_for_what_it_announces():
    task = "Sure. To paint"
    assert list(announced("." * (4000 - len(task)) + task)) == ["paint"]
    assert list(announced("." * (4001 - len(task)) + task)) == ["pain"]
    assert list(announced("." * 4000 + task)) == []


def test_stems_of_several_texts_are_joined():
    assert all_stems(["a knife", "Cups, cups!"]) == {"knife", "cups"}
    assert all_stems([]) == frozenset()


@pytest.mark.parametrize(
    ("act", "harm"),
    [
        ("hurt my teacher", ({"hurt"}, {"teach"})),
        ("blow up the old bank", ({"blow"}, {"bank"})),
        ("thank the teacher", None),
        ("beat the eggs", None),
    ],
)
def test_an_act_of_harm_has_a_deed_and_a_victim(act, harm):
    assert harm_in(act) == harm


def test_the_examples_in_docstrings_hold():
    assert doctest.testmod(content) == (0, 2)
