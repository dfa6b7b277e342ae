"""`tritrace data sources` and `tritrace data import` as commands."""

import json

import pytest
from typer.testing import CliRunner

from data.files.json_lines import read_rows
from data.rows import Query
from data.sources.declared.registry import built_in_sources
from stages.__main__ import app
from stages.cli.rows.sources import _hub
from tests.data.sources import samples


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_every_source_is_listed():
    result = run("sources")
    assert result.exit_code == 0
    for name in built_in_sources():
        assert name[:12] in result.output


def test_a_source_is_shown_as_an_example_to_start_from(tmp_path):
    result = run("sources", "--show", "xstest")
    copy = tmp_path / "mine.yaml"
    copy.write_text(result.output)
    path, *_ = samples.xstest(tmp_path / "raw")
    output = tmp_path / "data" / "queries.jsonl"
    assert run("import", copy, "--from", path, "--output", output).exit_code == 0
    assert len(read_rows(output, Query)) == 2


def test_an_import_says_what_was_written_and_left_out(tmp_path):
    path, options, _ = samples.figstep(tmp_path / "raw")
    output = tmp_path / "data" / "queries.jsonl"
    result = run("import", "figstep", "--from", path, "--image-root", options["image_root"], "--output", output)
    assert result.exit_code == 0
    assert "2 queries from 3 records, 1 left out" in result.output
    assert "1 x image: No such file or directory" in result.output
    report = json.loads(output.with_name("queries.jsonl.import.json").read_text())
    assert (report["licence"], report["written"], report["records"]) == ("MIT", 2, 3)
    assert str(output) + ".skipped.jsonl" in result.output.replace("\n", "")


def test_a_name_on_the_hub_keeps_the_set_s_own_configurations_only_for_its_own_place():
    spec = built_in_sources()["beavertails-v"]
    assert _hub(spec, "hub:", None) == spec.hub
    assert _hub(spec, "hub:someone/copy", None).configs == ()
    assert _hub(spec, "hub:", ["fraud"]).configs == ("fraud",)
    with pytest.raises(ValueError, match="no place on the Hub"):
        _hub(built_in_sources()["vlguard"], "hub:", None)
