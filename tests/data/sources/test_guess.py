"""The guessed mapping of unknown columns: right if names and values are clear, and empty otherwise."""

import pytest

from data.sources.declared.guess import guess
from data.sources.declared.mapping import drafts_of
from data.sources.declared.spec import parse_spec
from data.sources.reading.records import Record, SourceError
from protocol.labels import Decision, Risk


def read(*rows, question=""):
    """Guess a mapping and apply it to the rows."""
    records = [Record(row, f"a.jsonl:{number}", split="train") for number, row in enumerate(rows, start=1)]
    guessed = guess(records, "a.jsonl", question)
    spec = parse_spec(guessed.to_yaml("own", "tritrace init here"), "source.yaml")
    return [draft for record in records for draft in drafts_of(record, spec)], guessed


@pytest.mark.parametrize("name", ["question", "Prompt", "instruction", "text", "query"])
def test_the_question_is_found_by_its_name(name):
    (draft,), _ = read({name: "What is it?", "id": "7"})
    assert draft.text == "What is it?"


def test_the_question_is_found_by_its_length_where_no_name_tells():
    (draft, _), guessed = read({"x": "a", "said": "What is it?"}, {"x": "b", "said": "And this?"})
    assert draft.text == "What is it?"
    assert guessed.unused == ["x"]


@pytest.mark.parametrize(
    ("column", "harmful", "harmless"),
    [
        ("safe", False, True),
        ("is_safe", "no", "yes"),
        ("harmful", 1, 0),
        ("is_unsafe", "true", "false"),
        ("label", "unsafe", "safe"),
        ("label", "harmful", "benign"),
    ],
)
def test_labels_are_read_by_what_their_column_says(column, harmful, harmless):
    drafts, _ = read({"question": "A?", column: harmful}, {"question": "B?", column: harmless})
    assert [draft.labels.combined_risk for draft in drafts] == [Risk.UNSAFE, Risk.SAFE]


@pytest.mark.parametrize("values", [(0, 1), ("A", "B"), ("safe", "controversial")])
def test_a_label_whose_meaning_nobody_knows_is_not_used_and_is_named(values):
    drafts, guessed = read(*({"question": "A?", "label": value} for value in values))
    assert all(draft.labels.combined_risk is None for draft in drafts)
    assert "label" in guessed.unused


def test_pictures_parts_answers_and_splits():
    row = {"image": "a/b.png", "question": "What?", "image_tag": "unsafe", "text_tag": "safe", "response": "A cat."}
    row |= {"decision": "refuse", "category": "violence", "split": "dev"}
    (draft,), guessed = read(row)
    assert (draft.images, draft.answers, draft.split) == (("a/b.png",), {"reference": "A cat."}, "validation")
    assert (draft.labels.image_risk, draft.labels.text_risk) == (Risk.UNSAFE, Risk.SAFE)
    assert (draft.labels.decision, draft.labels.category) == (Decision.REFUSE, "violence")
    assert not guessed.unused


def test_one_question_for_every_picture():
    (draft,), _ = read({"file_name": "a.png", "label": "cats"}, question="What {is} it?")
    assert (draft.text, draft.images) == ("What {is} it?", ("a.png",))


def test_without_words_it_says_what_to_do():
    with pytest.raises(SourceError, match="--question"):
        read({"file_name": "a.png", "label": ""})


def test_the_guess_shows_what_it_rests_on_and_how_to_correct_it():
    record = Record({"question": "What is it?", "safe": "True", "note": "-"}, "a.csv:2")
    text = guess([record], "a.csv").to_yaml("own", "C")
    assert "# the question: column question, such as 'What is it?'\n" in text
    assert "# not used: note\n" in text
    assert "#     C\n" in text
