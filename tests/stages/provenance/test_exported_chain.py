"""`tritrace manifest EXPORT`: an export is verified with its own hashes, without its run."""

import hashlib
import json
import shutil

import pytest
from typer.testing import CliRunner

from stages import dpo, sft
from stages.__main__ import app
from stages.export.run import ExportOptions, export_stage
from stages.provenance.chain import ChainStage
from stages.provenance.exported_chain import with_exports
from stages.provenance.manifest import read_manifest
from stages.provenance.seals import record_seal, seal_of
from tests.stages.conftest import write_tiny_model, write_tiny_rows


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Export a stage with a parent, as an adapter and merged; then its run is deleted."""
    from stages.arguments.stage import parse_stage
    from tests.stages.conftest import short_flags

    folder = tmp_path_factory.mktemp("made")
    shared = {"model": write_tiny_model(folder / "model"), "max_steps": 1, "preflight": "false"}
    rows = write_tiny_rows(folder / "data")
    first = short_flags("sft", **shared, data=rows / "sft.jsonl", output=folder / "run" / "sft")
    parent = sft.run(*parse_stage("sft", first))
    second = short_flags("dpo", **shared, data=rows / "dpo.jsonl", output=folder / "run" / "dpo", parent=parent)
    stage = dpo.run(*parse_stage("dpo", second))
    export_stage(stage, folder / "adapter", ExportOptions())
    export_stage(stage, folder / "merged", ExportOptions(merge=True))
    (folder / "exports.json").write_bytes((stage / "exports.json").read_bytes())
    shutil.rmtree(folder / "run")
    return folder


@pytest.fixture(params=["adapter", "merged"])
def export(request, made, tmp_path):
    return shutil.copytree(made / request.param, tmp_path / request.param)


def verify(folder, *options):
    done = CliRunner().invoke(app, ["manifest", str(folder), *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def change(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_whole_export_holds(export):
    code, out = verify(export)
    assert code == 0, out
    assert "2 stages, " in out
    assert ", 0 broken" in out
    assert "not here" not in out


@pytest.mark.parametrize("name", ["*.safetensors", "*config.json", "tokenizer.json", "generation_config.json"])
def test_a_file_that_was_changed_is_named_with_both_hashes(name, export):
    path = next(export.glob(name))
    change(path)
    code, out = verify(export)
    assert code == 1
    assert f"{path.name} was " in out


def test_weights_that_were_changed_together_with_export_json_are_told_by_the_seal(export, made):
    """The export's own hashes cannot detect this, because they were changed too."""
    (seal,) = [
        seal for path, seal in json.loads((made / "exports.json").read_text()).items() if path.endswith(export.name)
    ]
    assert verify(export, "--seal", seal)[0] == 0
    weights, mark = next(export.glob("*.safetensors")), export / "export.json"
    change(weights)
    record = json.loads(mark.read_text())
    record["files"][weights.name] = hashlib.sha256(weights.read_bytes()).hexdigest()
    mark.write_text(json.dumps(record))
    code, out = verify(export)
    assert code == (export.name == "adapter"), out  # the last stage's manifest also names these weights
    code, out = verify(export, "--seal", seal)
    assert code == 1
    assert f"written {seal}, found " in out


def test_a_run_keeps_the_seals_of_its_exports_and_checks_them(made, tmp_path):
    export = shutil.copytree(made / "merged", tmp_path / "merged")
    stage = ChainStage(tmp_path / "grpo", read_manifest(export / "manifest.json"), ())
    stage.folder.mkdir()
    record_seal(stage.folder, export, seal_of(export))
    assert [link.state for each in with_exports([stage]) for link in each.links] == ["holds"]
    next(export.glob("plans/*/system_prompt.txt")).write_text("Say yes.")
    ((told,),) = [each.links for each in with_exports([stage])]
    assert (told.state, str(export) in told.note) == ("broken", True)
    shutil.rmtree(export)
    assert [link.state for each in with_exports([stage]) for link in each.links] == ["not here"]


def test_a_file_that_was_added_or_taken_is_named(export):
    (export / "modeling.py").write_text("")
    (export / "tokenizer.json").unlink()
    code, out = verify(export)
    assert code == 1
    assert "modeling.py is new" in out
    assert "tokenizer.json is missing" in out


def test_a_manifest_that_was_changed_is_broken(export):
    for path in export.glob("manifests/*.json"):
        before = path.read_text()
        path.write_text(json.dumps(json.loads(before) | {"seed": 99}))
        code, out = verify(export)
        assert code == 1
        assert f"{path}; recipe" in out or path.name in out
        path.write_text(before)


def test_weights_of_another_stage_are_told_although_export_json_names_them(made, tmp_path):
    export = shutil.copytree(made / "adapter", tmp_path / "adapter")
    mark = json.loads((export / "export.json").read_text())
    mark["files"]["adapter_model.safetensors"] = "0" * 64
    (export / "export.json").write_text(json.dumps(mark))
    assert "adapter_model.safetensors was " in verify(export)[1]
    assert "broken: " in verify(export)[1]


def test_a_parent_that_was_taken_is_not_here_and_none_at_all_is_an_error(export):
    first, last = sorted(export.glob("manifests/*.json"))
    first.unlink()
    code, out = verify(export)
    assert (code, "its manifest was not exported" in out) == (0, True)
    last.unlink()
    done = CliRunner().invoke(app, ["manifest", str(export)])
    assert "an export without manifests/; export the stage again" in str(done.exception)
