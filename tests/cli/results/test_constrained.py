"""`tritrace eval` and `chat` with --constrained: they report free and constrained validity separately."""

import json
import sys
from types import SimpleNamespace

import pytest

import stages.results.subjects
from data.files.json_lines import write_rows
from data.pocket.world import generate
from data.prompts import rollout_prompt
from eval.policies.checkpoint import Generation
from protocol.grammar.closing import closer_of
from stages.__main__ import main

pytestmark = pytest.mark.torch

QUERIES = [item.query for item in generate("train", 3, seed=0)]


class StubPolicy:
    """Writes no trace when free, and the shortest valid response when constrained."""

    def __init__(self, *_, constrained=False, **__):
        self.constrained = constrained

    def respond(self, prompts, _, *, done=None, keep=None):
        del done, keep
        texts = [closer_of(prompt.plan).shortest if self.constrained else "Sure." for prompt in prompts]
        return [Generation(text, num_tokens=len(text), is_truncated=False) for text in texts]


@pytest.fixture(autouse=True)
def _stubs(monkeypatch):
    monkeypatch.setattr(stages.results.subjects, "HFPolicy", StubPolicy)
    manifest = SimpleNamespace(model="m", stage="sft", data={}, recipe={}, adapter="a", files={}, base_commit=None)
    monkeypatch.setattr(stages.results.subjects, "check_stage", lambda *_, **__: manifest)
    monkeypatch.setattr("stages.fit.evaluation.fitted_batch", lambda *_: 4)
    monkeypatch.setattr(stages.results.subjects, "model_revision", lambda *_: "of no model")


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["tritrace", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


def test_eval_reports_free_and_constrained_validity_apart(monkeypatch, tmp_path, capsys):
    write_rows(tmp_path / "test.jsonl", [rollout_prompt(query, "compact") for query in QUERIES])
    common = ("eval", "--model", "m", "--data", tmp_path / "test.jsonl", "--output", tmp_path / "out")

    def validity(folder):
        return json.loads((folder / "metrics.json").read_text())["metrics"]["validity"]["value"]

    assert run(monkeypatch, *common) == 0
    assert not (tmp_path / "out" / "constrained").exists()
    assert run(monkeypatch, *common, "--constrained") == 0
    assert (validity(tmp_path / "out"), validity(tmp_path / "out" / "constrained")) == (0.0, 100.0)
    settings = json.loads((tmp_path / "out" / "constrained" / "evaluation.json").read_text())
    assert settings["constrained"]
    header = next(line for line in capsys.readouterr().out.splitlines() if "CONSTRAINED" in line)
    assert header.index("FREE") < header.index("CONSTRAINED")


def test_chat_says_what_it_would_have_been_without_the_mask(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, "chat", "What is this?", "--adapter", tmp_path, "--constrained") == 0
    out = capsys.readouterr().out
    assert "verdict: valid" in out
    assert "decoded freely: invalid (S101" in out
    assert run(monkeypatch, "chat", "What is this?", "--adapter", tmp_path) == 1
    assert "decoded freely" not in capsys.readouterr().out
