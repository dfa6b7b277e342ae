"""Text that is not UTF-8 is an error with its place and its likely encoding; no character is replaced silently."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.exchange.reading import BadRow, row_files, rows_of
from data.files.json_lines import RowsError, read_rows, row_to_json
from data.files.text import NotTextError, likely_encoding, read_text, refuse_surrogates, text_of
from data.rows import Query
from data.sources.reading.local import read_local
from data.sources.reading.records import Record, SourceError, Unreadable

GOOD = row_to_json(Query("q", "What?", "plain", "train"))
CAFE = json.dumps({**GOOD, "text": "What does the café sell?"}, ensure_ascii=False)


def test_a_row_of_another_encoding_is_refused_with_line_byte_and_likely_encoding(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + CAFE.encode("cp1252") + b"\n")
    place = CAFE.encode("cp1252").index(b"\xe9") + 1
    wanted = f"{path}:2: not UTF-8: byte 0xe9 at byte {place}; it looks like cp1252; convert it: iconv -f cp1252"
    with pytest.raises(RowsError) as raised:
        read_rows(path, Query)
    assert str(raised.value).startswith(wanted)
    (file,) = row_files(tmp_path)
    good, bad = rows_of(file)
    assert good == Query("q", "What?", "plain", "train")
    assert isinstance(bad, BadRow)
    assert str(bad).startswith(wanted)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_of_wide_characters_is_one_error_and_not_one_a_line(encoding, tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_bytes("\n".join([json.dumps(GOOD)] * 50).encode(encoding))
    with pytest.raises(RowsError) as raised:
        read_rows(path, Query)
    assert str(raised.value) == (
        f"{path}: is {encoding.upper()}, expected UTF-8; convert it: iconv -f {encoding} -t utf-8 FILE > NEW"
    )
    with pytest.raises(SourceError, match="expected UTF-8"):
        list(read_local(path, ""))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('{"q": "What does the café sell?"}', "cp1252"),
        ("It’s “fine”", "cp1252"),
        ("Что на картинке?", "cp1251"),
        ("这是什么图片", "gb18030"),
        ("これは何ですか", "cp932"),
    ],
)
def test_the_encoding_of_a_short_line_is_guessed(text, encoding):
    assert likely_encoding(text.encode(encoding)) == encoding


def test_half_a_character_is_refused_with_its_field(tmp_path):
    path = tmp_path / "queries.jsonl"
    lines = [
        json.dumps({**GOOD, "text": "Why \ud83d?"}),
        json.dumps({**GOOD, "text": "Why \U0001f600?"}),
        json.dumps({**GOOD, "answers": {"comply": "\udc00"}}),
        json.dumps({**GOOD, "\ud83d": "x"}),
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(RowsError) as raised:
        read_rows(path, Query)
    told = str(raised.value).splitlines()
    assert told[0].startswith(rf"{path}:1: text: half of a character (\ud83d) at character 5; write the whole one")
    assert told[1].startswith(rf"{path}:3: answers.comply: half of a character (\udc00) at character 1")
    assert told[2].startswith(rf"{path}:4: a key of the object: half of a character (\ud83d)")
    str(raised.value).encode()  # the message itself can be printed


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl"])
def test_a_source_of_any_form_leaves_out_exactly_the_records_that_are_not_text(ending, tmp_path):
    path = tmp_path / f"mine.{ending}"
    mark = "\t" if ending == "tsv" else ","
    rows = [("one", "fine"), ("two", "café"), ("three", "fine too")]
    if ending in {"csv", "tsv"}:
        text = "\n".join(mark.join(row) for row in [("id", "q"), *rows])
    else:
        records = [json.dumps({"id": name, "q": words}, ensure_ascii=False) for name, words in rows]
        text = "\n".join(records) if ending == "jsonl" else f"[{','.join(records)}]"
    path.write_bytes(text.encode("cp1252"))
    first, second, third = read_local(path, "")
    assert isinstance(first, Record)
    assert isinstance(third, Record)
    assert isinstance(second, Unreadable)
    assert "not UTF-8: byte 0xe9 at " in second.reason
    assert "it looks like cp1252" in second.reason


def test_a_table_with_semicolons_names_them(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("id;question\n1;What, and why?\n")
    with pytest.raises(SourceError, match=r"mine\.csv:1: expected fields between commas, found semicolons"):
        list(read_local(path, ""))
    path.write_text("question\nWhat; and why?\n")
    (record,) = read_local(path, "")
    assert record.values == {"question": "What; and why?"}


def test_a_file_of_settings_names_line_and_byte(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_bytes("model: m\noutput: Größe\n".encode("cp1252"))
    with pytest.raises(NotTextError, match=r"sft\.yaml:2: not UTF-8: byte 0xf6 at byte 11; it looks like cp1252"):
        read_text(path)
    path.write_bytes(b"\xef\xbb\xbfmodel: m\n")
    assert read_text(path) == "model: m\n"


@given(st.binary(max_size=40))
def test_bytes_are_read_as_they_are_or_refused(content):
    try:
        text = text_of(content)
    except NotTextError as error:
        str(error).encode()
    else:
        assert text.encode() == content.removeprefix(b"\xef\xbb\xbf")


strings = st.text(st.characters(codec=None), max_size=5)


@given(st.recursive(strings, lambda each: st.lists(each) | st.dictionaries(strings, each), max_leaves=10))
def test_what_is_not_refused_can_be_written(value):
    try:
        refuse_surrogates(value, "row")
    except NotTextError as error:
        str(error).encode()
        with pytest.raises(UnicodeEncodeError):
            json.dumps(value, ensure_ascii=False).encode()
    else:
        json.dumps(value, ensure_ascii=False).encode()
