"""An adapter of peft without a manifest can be evaluated and trained on, and the chain says what is not known."""

import json

import pytest

from data.files import read_rows
from data.rows import RolloutPrompt
from protocol.errors import UserError
from stages import dpo, sft
from stages.cli.candidates import checkpoint_of
from stages.provenance.chain import broken, read_chain
from stages.provenance.manifest import read_manifest
from stages.results.subjects import load_policy, subject_of

NO_PERMISSION = {"trust_remote_code": False, "allow_pickle": False, "allow_broken": False}


@pytest.fixture
def adapter(parse, tmp_path):
    """Return a folder with an adapter and nothing that says where it comes from."""
    trained = sft.run(*parse("sft", max_steps=1, output=tmp_path / "sft"))
    return (trained / "adapter").rename(tmp_path / "found")


def test_it_answers_on_the_base_that_it_names_or_that_is_given(adapter, tiny_model_path, rows_folder):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:2]
    named = load_policy(stage=adapter, max_new_tokens=4).respond(prompts, rows_folder)
    given = load_policy(str(tiny_model_path), adapter, max_new_tokens=4).respond(prompts, rows_folder)
    assert named == given
    assert subject_of(stage=adapter).identity()["adapter"]
    candidate = checkpoint_of(str(tiny_model_path), adapter, None, 1, 4, NO_PERMISSION)
    assert candidate.style == "full"


def test_it_needs_a_base(adapter):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(UserError, match="names no base model; give it with --model"):
        subject_of(stage=adapter)


def test_a_stage_continues_it_and_says_that_nothing_is_known_of_it(adapter, parse, capsys):
    trained = dpo.run(*parse("dpo", parent=adapter, max_steps=1))
    assert "was trained elsewhere: nothing says how" in capsys.readouterr().out
    manifest = read_manifest(trained / "manifest.json")
    assert manifest.start == "elsewhere"
    (stage,) = read_chain(trained)
    (link,) = [each for each in stage.links if each.name == "parent"]
    assert (link.state, "trained elsewhere" in link.note) == ("not here", True)
    assert broken([stage]) == []
    (adapter / "adapter_config.json").write_text("{}")
    assert any("parent" in line for line in broken(read_chain(trained)))
