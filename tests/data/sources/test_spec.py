"""All problems of a source's YAML are reported, with their lines and the names that were meant."""

import pytest

from data.sources.declared.expressions import evaluate
from data.sources.declared.registry import find_source
from data.sources.declared.spec import parse_spec, read_spec
from data.sources.reading.records import FieldError, Record, SourceError, look_up

BROKEN = """\
name: mine
licence: MIT
citation: me
spltis: {train: train}
rows:
  - kind: plain
    text: question
    labels:
      combined_risk: unsaffe
      category: {column: c, map: {a: violense}}
  - kind: plain
"""


def test_every_problem_is_told_with_its_line():
    with pytest.raises(SourceError) as raised:
        parse_spec(BROKEN, "mine.yaml")
    told = str(raised.value)
    assert "mine.yaml:1: source: unknown key 'spltis'; did you mean splits?" in told
    assert "mine.yaml:9: rows.0.labels.combined_risk: " in told
    assert "mine.yaml:11: rows.1: 'text' is a required property" in told


def test_a_label_outside_the_vocabulary_is_told_with_the_nearest():
    text = BROKEN.replace("spltis", "splits").replace("unsaffe", "unsafe").removesuffix("  - kind: plain\n")
    with pytest.raises(SourceError, match=r"mine.yaml:10: .*'violense' is no category; did you mean violence\?"):
        parse_spec(text, "mine.yaml")


@pytest.mark.parametrize(("text", "fault"), [("a: [", "mine.yaml:1: not YAML"), ("- 1", "expected a mapping")])
def test_what_is_no_source_is_said_to_be_none(text, fault):
    with pytest.raises(SourceError, match=fault):
        parse_spec(text, "mine.yaml")


def test_a_file_that_is_not_there_is_a_message(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_spec(tmp_path / "gone.yaml")


def test_an_unknown_source_is_told_with_the_nearest():
    with pytest.raises(SourceError, match="did you mean vlguard"):
        find_source("vlgaurd")


RECORD = Record({"a": {"b": [1, {"c": "deep"}]}, "x.y": 3, "label": "Safe", "n": None}, "f:1", file="f", key="7")


@pytest.mark.parametrize(("path", "value"), [("a.b[1].c", "deep"), ("x.y", 3), ("@key", "7"), ("a.b[-2]", 1)])
def test_a_path_leads_to_its_value(path, value):
    assert look_up(RECORD, path) == value


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("lable", "column 'lable' is missing; found a, x.y, label, n; did you mean label?"),
        ("a.b[5]", "no item [5] in a list of 2"),
        ("n.b", "no 'b' in null"),
        ("@line", "unknown place"),
        ("a..b", "is not a path"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path, fault):
    with pytest.raises(FieldError) as raised:
        look_up(RECORD, path)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("label", "Safe"),
        ("{@file}-{@key}", "f-7"),
        ({"value": 5}, 5),
        ({"column": "label", "map": {"safe": "comply"}}, "comply"),
        ({"column": "gone", "map": {}, "default": None}, None),
        ({"first": ["gone", "n", "label"]}, "Safe"),
    ],
)
def test_an_expression_has_a_value(expression, value):
    assert evaluate(expression, RECORD) == value


def test_a_value_that_the_map_does_not_know_is_an_error():
    with pytest.raises(FieldError, match="label: expected one of safer, found 'Safe'; did you mean safer"):
        evaluate({"column": "label", "map": {"safer": 1}}, RECORD)
