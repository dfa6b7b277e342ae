"""A peft adapter without a manifest can be evaluated and continued, and the chain says what is unknown."""

import json

import pytest

from data.files.json_lines import read_rows
from data.rows import RolloutPrompt
from protocol.errors import UserError
from stages import dpo, sft
from stages.cli.candidates import checkpoint_of
from stages.cli.options import CheckpointOptions
from stages.export.run import ExportOptions, export_stage
from stages.provenance.chain import broken, read_chain
from stages.provenance.exported_chain import read_export
from stages.provenance.manifest import read_manifest
from stages.provenance.seals import seal_of
from stages.results.subjects import load_policy, subject_of


@pytest.fixture
def adapter(parse, tmp_path):
    """Return a folder with an adapter of unknown origin."""
    trained = sft.run(*parse("sft", max_steps=1, output=tmp_path / "sft"))
    return (trained / "adapter").rename(tmp_path / "found")


def test_it_answers_on_the_base_that_it_names_or_that_is_given(adapter, tiny_model_path, rows_folder):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:2]
    named = load_policy(stage=adapter, max_new_tokens=4).respond(prompts, rows_folder)
    given = load_policy(str(tiny_model_path), adapter, max_new_tokens=4).respond(prompts, rows_folder)
    assert named == given
    assert subject_of(stage=adapter).identity()["adapter"]
    chosen = CheckpointOptions(model=str(tiny_model_path), adapter=adapter)
    candidate = checkpoint_of(chosen, batch_size=1, max_new_tokens=4)
    assert candidate.style == "full"


@pytest.mark.parametrize("merge", [False, True])
def test_it_is_exported_and_the_card_and_the_chain_say_that_nothing_is_known_of_it(
    merge, adapter, rows_folder, tmp_path
):
    (adapter / "optimizer.pt").write_text("what else stands in such folders")
    folder = export_stage(adapter, tmp_path / "export", ExportOptions(merge=merge))
    card = (folder / "README.md").read_text()
    assert "**It was trained elsewhere: it has no manifest, so its data and its training are unknown.**" in card
    assert "It was trained in" not in card
    assert not (folder / "optimizer.pt").exists()
    (stage,) = read_export(folder, seal_of(folder))
    assert broken([stage]) == []
    assert {link.name for link in stage.links if link.state == "not here"} == {"parent", "protocol"}
    named = {"model": str(folder)} if merge else {"stage": folder}
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:2]
    exported = load_policy(**named, max_new_tokens=4).respond(prompts, rows_folder)
    assert [each.text for each in exported] == [
        each.text for each in load_policy(stage=adapter, max_new_tokens=4).respond(prompts, rows_folder)
    ]


def test_a_stage_after_it_is_exported_with_it_in_the_card(adapter, parse, tmp_path):
    trained = dpo.run(*parse("dpo", parent=adapter, max_steps=1))
    card = (export_stage(trained, tmp_path / "export", ExportOptions()) / "README.md").read_text()
    assert "**It was trained elsewhere before the stages below" in card
    assert "were not found" not in card
    assert broken(read_export(tmp_path / "export")) == []


def test_the_base_of_a_stage_cannot_be_chosen_when_it_is_exported(parse, tmp_path):
    trained = sft.run(*parse("sft", max_steps=1, output=tmp_path / "sft"))
    with pytest.raises(UserError, match="--model: only for an adapter that was trained elsewhere"):
        export_stage(trained, tmp_path / "export", ExportOptions(model="other"))


def test_it_needs_a_base(adapter):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(UserError, match="names no base model; give it with --model"):
        subject_of(stage=adapter)


def test_a_stage_continues_it_and_says_that_nothing_is_known_of_it(adapter, parse, capsys):
    trained = dpo.run(*parse("dpo", parent=adapter, max_steps=1))
    assert "was trained elsewhere; its training is unknown" in capsys.readouterr().out
    manifest = read_manifest(trained / "manifest.json")
    assert manifest.start == "elsewhere"
    (stage,) = read_chain(trained)
    (link,) = [each for each in stage.links if each.name == "parent"]
    assert (link.state, "trained elsewhere" in link.note) == ("not here", True)
    assert broken([stage]) == []
    (adapter / "adapter_config.json").write_text("{}")
    assert any("parent" in line for line in broken(read_chain(trained)))
