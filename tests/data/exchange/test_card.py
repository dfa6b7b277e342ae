"""A data card agrees with the rows: licences, sources, sizes, labels, and left-out records."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from data.building.build import Sizes, build_pocket
from data.exchange.card import card, write_card
from data.files.json_lines import RowsError, write_rows
from data.rows import Provenance, Query
from protocol import Labels
from stages.__main__ import app
from toolkit.catalogue import fingerprint


def front_matter(text):
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_card_of_a_built_folder_counts_its_rows(tmp_path):
    build_pocket(tmp_path, Sizes(sft=3, dpo=2, grpo=2, validation=1, test=1), seed=0)
    result = CliRunner().invoke(app, ["data", "card", str(tmp_path)])
    assert result.exit_code == 0
    head, body = front_matter((tmp_path / "README.md").read_text())
    assert {each["config_name"] for each in head["configs"]} == {"sft", "dpo", "grpo", "validation", "test", "queries"}
    assert head["size_categories"] == ["n<1K"]
    assert "| `sft.jsonl` | SFT: prompt and completion | 3 | train 3 |" in body
    assert fingerprint() in body
    assert "the folder records none" not in body
    before = (tmp_path / "README.md").read_bytes()
    write_card(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == before


def test_the_card_of_an_import_names_licences_and_what_was_left_out(tmp_path):
    known = Provenance("a|b", "CC-BY-4.0", "data.sources 1", citation="arXiv:1", origin="a.json:1")
    unknown = Provenance("vlguard", "unknown", "data.sources 1")
    rows = [
        Query("1", "What?", "plain", "train", labels=Labels(category="none"), provenance=known),
        Query("2", "Why?", "plain", "test", provenance=unknown),
        Query("3", "Who?", "plain", "test"),
    ]
    write_rows(tmp_path / "queries.jsonl", rows)
    report = {"source": "x", "title": "X", "from": "x.json", "written": 3, "records": 5, "left_out": {"duplicate": 2}}
    (tmp_path / "queries.jsonl.import.json").write_text(json.dumps(report | {"notes": ["Labels are noisy."]}))
    (tmp_path / "queries.jsonl.skipped.jsonl").write_text('{"where": "x", "reason": "y"}\n')
    head, body = front_matter(write_card(tmp_path).read_text())
    assert head["license"] == ["cc-by-4.0", "unknown"]
    assert "| a\\|b | CC-BY-4.0 | arXiv:1 | 1 |" in body
    assert "**No licence is known for unknown, vlguard.**" in body
    assert "3 queries from 5 records" in body
    assert "* 2 left out: duplicate\n* Labels are noisy." in body
    assert "* category: known for 1 of 3 rows" in body
    assert "the folder records none" in body
    assert "skipped" not in body


def test_a_readme_of_ones_own_is_not_overwritten(tmp_path):
    write_rows(tmp_path / "queries.jsonl", [Query("1", "What?", "plain", "train")])
    (tmp_path / "README.md").write_text("Mine.")
    with pytest.raises(RowsError, match="was not written by this command"):
        write_card(tmp_path)
    assert (tmp_path / "README.md").read_text() == "Mine."


HOSTILE = "<script>alert(1)</script> | `x` \n# heading"


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "queries.jsonl", [Query("q-0", "words", "plain", "train")])
    return tmp_path


def test_what_an_import_reported_cannot_break_the_page(folder):
    said = dict.fromkeys(("source", "title", "from", "split", "reference"), HOSTILE)
    said |= {"written": HOSTILE, "records": [1], "left_out": {HOSTILE: HOSTILE}, "notes": [HOSTILE, None, {}]}
    (folder / "queries.jsonl.import.json").write_text(json.dumps(said))
    (folder / "built.json").write_text(json.dumps({"wanted": {HOSTILE: HOSTILE, "protocol": HOSTILE}}))
    text = card(folder)
    assert "<script>" not in text
    assert "&lt;script>" in text
    assert "\n# heading" not in text
    assert "'x' # heading" in text.split("Imported from `")[1].split("`")[0]


@pytest.mark.parametrize("content", ["[]", "3", '{"notes": 3, "left_out": [1]}', '{"written": 1e400}', "[" * 100_000])
def test_a_report_of_an_import_that_is_damaged_ends_no_card(folder, content):
    (folder / "queries.jsonl.import.json").write_text(content)
    assert "## Where it comes from" in card(folder)
