"""The chain of a run, and all ways to break it."""

import json
import shutil

import pytest
from peft import PeftModel
from typer.testing import CliRunner

from eval.models.loading import load_model, quiet_libraries
from eval.models.processors import load_processor
from stages import dpo, sft
from stages.__main__ import app
from stages.errors import StageError
from stages.provenance.chain import broken, read_chain
from stages.provenance.manifest import read_manifest


@pytest.fixture
def run_folder(parse, tmp_path):
    root = tmp_path / "run"
    parent = sft.run(*parse("sft", max_steps=1, output=root / "sft"))
    dpo.run(*parse("dpo", max_steps=1, output=root / "dpo", parent=parent))
    return root


LINKS = ("manifest", "parent", "base model", "data", "adapter", "adapter files", "protocol")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def states(chain):
    return {(stage.manifest.stage, link.name): link.state for stage in chain for link in stage.links}


def test_a_whole_chain_holds_and_the_command_ends_with_0(run_folder):
    chain = read_chain(run_folder)
    assert [stage.manifest.stage for stage in chain] == ["sft", "dpo"]
    assert set(states(chain).values()) == {"holds"}
    assert {name for _, name in states(chain)} == set(LINKS)
    assert [stage.manifest.start for stage in chain] == ["base", "stage"]
    done = CliRunner().invoke(app, ["manifest", str(run_folder)])
    assert done.exit_code == 0
    assert "2 stages, 14 links, 0 broken" in done.output


def test_each_broken_link_names_both_sides(run_folder, rows_folder):
    sft_manifest = run_folder / "sft" / "manifest.json"
    whole = read_manifest(sft_manifest)
    weights = next((run_folder / "dpo" / "adapter").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    edit(sft_manifest, seed=7)
    with (rows_folder / "dpo.jsonl").open("a") as file:
        file.write("\n")
    chain = read_chain(run_folder)
    faults = broken(chain)
    kinds = {name for name, state in states(chain).items() if state == "broken"}
    assert kinds == {("sft", "manifest"), ("dpo", "parent"), ("dpo", "adapter"), ("dpo", "data")}
    assert len(faults) == 4
    parent = next(fault for fault in faults if ": parent:" in fault)
    assert whole.digest in parent
    assert read_manifest(sft_manifest).digest in parent
    done = CliRunner().invoke(app, ["manifest", str(run_folder)])
    assert done.exit_code == 1
    assert done.output.count("broken:") == 4


def test_a_picture_that_changed_breaks_the_data(run_folder, rows_folder):
    shutil.copy(rows_folder / "images" / "1.png", rows_folder / "images" / "2.png")
    faults = broken(read_chain(run_folder, with_model=False))
    assert len(faults) == 2
    assert all("images was" in fault for fault in faults)


def test_what_was_moved_is_not_here_and_not_broken(run_folder, rows_folder):
    (rows_folder / "sft.jsonl").rename(rows_folder / "elsewhere.jsonl")
    chain = read_chain(run_folder, with_model=False)
    assert states(chain)["sft", "data"] == "not here"
    assert broken(chain) == []


def test_no_chain_is_an_error(tmp_path):
    with pytest.raises(StageError, match="no finished stage here"):
        read_chain(tmp_path)


def test_an_adapter_that_changed_is_not_continued(run_folder, parse):
    weights = next((run_folder / "sft" / "adapter").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(StageError, match=r"sft: adapter: .*: named .*, found "):
        dpo.run(*parse("dpo", max_steps=1, parent=run_folder / "sft"))


def test_a_stage_on_a_merged_model_records_what_was_merged(run_folder, parse, tiny_model_path, tmp_path):
    import torch

    folder = tmp_path / "merged"
    base = load_model(str(tiny_model_path), dtype=torch.float32)
    with quiet_libraries():
        model = PeftModel.from_pretrained(base, run_folder / "dpo" / "adapter").merge_and_unload()
    model.save_pretrained(folder)
    load_processor(str(tiny_model_path)).save_pretrained(folder)
    shutil.copy(run_folder / "dpo" / "manifest.json", folder)
    output = sft.run(*parse("sft", max_steps=1, model=folder, output=tmp_path / "again"))
    manifest = read_manifest(output / "manifest.json")
    assert manifest.start == "merged"
    assert manifest.merged == read_manifest(run_folder / "dpo" / "manifest.json").digest
    assert broken(read_chain(output)) == []
    edit(folder / "manifest.json", seed=8)
    assert "merged into the base" in "\n".join(broken(read_chain(output)))
