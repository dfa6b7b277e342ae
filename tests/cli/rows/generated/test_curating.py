"""`tritrace data curate` on recorded responses."""

import json
import sys
import xml.etree.ElementTree as ET

import pytest

from data.files.json_lines import read_rows, write_rows
from data.pocket.world import generate
from data.prompts import rollout_prompt
from data.rows import RolloutPrompt
from data.synthesis import reference_response
from stages.__main__ import main
from toolkit.planner import plan_query

QUERIES = [item.query for item in generate("train", 3, seed=0)]


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "grpo.jsonl", [rollout_prompt(query, "compact") for query in QUERIES])
    perfect = [reference_response(query, plan_query(query.text, 1)).render() for query in QUERIES]
    # The first prompt is answered well only sometimes, the second always, the third never.
    texts = [(0, perfect[0]), (0, "no"), (1, perfect[1]), (1, perfect[1]), (2, "no"), (2, "no")]
    lines = [json.dumps({"id": QUERIES[which].id, "response": text}) for which, text in texts]
    (tmp_path / "responses.jsonl").write_text("\n".join(lines))
    return tmp_path


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["tritrace", "data", "curate", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


def test_prompts_answered_now_well_now_badly_are_kept(monkeypatch, folder, capsys):
    output = folder / "curated.jsonl"
    common = ("--data", folder / "grpo.jsonl", "--output", output, "--responses", folder / "responses.jsonl")
    assert run(monkeypatch, *common) == 0
    assert [row.id for row in read_rows(output, RolloutPrompt)] == [QUERIES[0].id]
    reasons = [json.loads(line) for line in (folder / "curated.curation.jsonl").read_text().splitlines()]
    assert [each["outcome"] for each in reasons] == ["kept", "solved", "hopeless"]
    assert reasons[1]["quality"] == 1.0
    drawing = ET.parse(folder / "curated.svg").getroot()  # noqa: S314 -- made here
    assert len([each for each in drawing.iter() if each.tag.endswith("circle")]) == 3
    assert "1 of 3 prompts kept" in "".join(drawing.itertext())
    assert "1 of 3 prompts kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--quality", "0.9", "0.1"), "quality: expected"),
        (("--output", "elsewhere/kept.jsonl"), "images are relative"),
        (("--output", "{folder}/grpo.jsonl"), "name another"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(monkeypatch, folder, capsys, flags, message):
    before = sorted(folder.iterdir())
    named = ("--output", folder / "kept.jsonl") if "--output" not in flags else ()
    flags = [flag.replace("{folder}", str(folder)) for flag in flags]
    responses = ("--responses", folder / "responses.jsonl")
    assert run(monkeypatch, "--data", folder / "grpo.jsonl", *named, *responses, *flags) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(folder.iterdir()) == before
