"""Rows survive writing and reading; a bad file is one error with every bad line; writing is atomic."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.files.json_lines import (
    MAX_REPORTED,
    RowsError,
    file_fingerprint,
    read_rows,
    row_from_json,
    row_to_json,
    write_rows,
)
from data.rows import PreferencePair, Provenance, Query, RolloutPrompt, SFTRow
from protocol import Decision, Labels, Risk
from tests.examples import examples

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts | st.just("pocket")
provenances = st.builds(Provenance, names, names, names)
labels = st.builds(
    Labels,
    *[st.none() | st.sampled_from(Risk)] * 3,
    category=st.none() | names,
    decision=st.none() | st.sampled_from(Decision),
    **dict.fromkeys(("objects", "texts", "facts", "distractors"), st.none() | st.lists(names, max_size=3).map(tuple)),
)
messages = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": texts}), min_size=1)
turns, paths = messages.map(tuple), st.lists(names, max_size=2).map(tuple)
shared = {"id": names, "query_id": names, "kind": names, "split": names, "prompt": turns, "images": paths}
shared |= {"plan": texts, "provenance": provenances}
ROWS = {
    Query: st.builds(
        Query,
        *[names] * 4,
        images=paths,
        labels=labels,
        answers=st.dictionaries(st.sampled_from(Decision).map(str), texts),
        intent=texts,
        setting=texts,
        provenance=st.none() | provenances,
    ),
    SFTRow: st.builds(SFTRow, completion=turns, **shared),
    PreferencePair: st.builds(
        PreferencePair, chosen=turns, rejected=turns, corruption=names, expected_codes=paths, **shared
    ),
    RolloutPrompt: st.builds(RolloutPrompt, labels=labels, query=texts, **shared),
}


@pytest.mark.parametrize("row_type", ROWS)
@examples(40)
@given(data=st.data())
def test_rows_come_back_as_they_were_written(row_type, data, tmp_path_factory):
    rows = data.draw(st.lists(ROWS[row_type], max_size=3))
    path = tmp_path_factory.mktemp("rows") / "deep" / "rows.jsonl"
    assert write_rows(path, rows) == len(rows)
    assert read_rows(path, row_type) == rows


QUERY = Query("q", "What?", "plain", "train")


def test_every_bad_line_is_named_with_what_was_expected(tmp_path):
    good = json.dumps(row_to_json(QUERY))
    lines = [
        good,
        "{",
        "",
        "[]",
        json.dumps({**json.loads(good), "colour": "red"}),
        json.dumps({"id": "q"}),
        json.dumps({**json.loads(good), "text": 3}),
        json.dumps({**json.loads(good), "images": "a.png"}),
        json.dumps({**json.loads(good), "labels": {"image_risk": "low"}}),
        json.dumps({**json.loads(good), "provenance": {"source": "x"}}),
        "[" * 100_000,
        good,
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RowsError) as raised:
        read_rows(path, Query)
    told = str(raised.value).splitlines()
    expected = {
        2: "not JSON",
        4: "expected a JSON object, found list",
        5: "unknown field 'colour'",
        6: "'text' is missing",
        7: "text: expected a string, found 3",
        8: "images: expected a list",
        9: "labels.image_risk: expected one of safe, unsafe",
        10: "'licence' is missing",
        11: "not JSON",
    }
    assert len(told) == len(expected) + 1
    for line, (number, fault) in zip(told, expected.items(), strict=False):
        assert line.startswith(f"{path}:{number}: ")
        assert fault in line
    assert told[-1].startswith("hint: ")


def test_a_thoroughly_bad_file_does_not_flood_the_terminal(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("x\n" * 500)
    with pytest.raises(RowsError) as raised:
        read_rows(path, Query)
    assert len(str(raised.value).splitlines()) == MAX_REPORTED + 2
    assert f"and {500 - MAX_REPORTED} more" in str(raised.value)


@pytest.mark.parametrize("name", ["gone.jsonl", "."])
def test_a_file_that_cannot_be_read_is_one_error(tmp_path, name):
    with pytest.raises(RowsError, match="cannot be read"):
        read_rows(tmp_path / name, Query)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(row_to_json(QUERY)).encode() + b"\r\n")
    assert read_rows(path, Query) == [QUERY]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [QUERY])
    before = file_fingerprint(path)

    def failing():
        yield QUERY
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, failing())
    assert file_fingerprint(path) == before
    assert [each.name for each in tmp_path.iterdir()] == ["rows.jsonl"]


def test_fields_that_are_null_are_as_good_as_absent():
    record = {**row_to_json(QUERY), "provenance": None, "intent": None}
    assert row_from_json(record, Query) == QUERY
