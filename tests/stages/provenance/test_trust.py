"""An untrusted folder cannot grant itself permissions, and is not loaded if it differs from its manifest."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from data.files.locks import LockedError
from eval.models.adapters import load_adapter
from eval.models.loading import load_model
from eval.models.reading import ModelError
from protocol.errors import UserError
from stages import sft
from stages.__main__ import app
from stages.arguments.stage import parse_stage
from stages.export.run import ExportOptions, export_stage
from stages.provenance.chain import broken, read_chain
from stages.provenance.manifest import read_manifest
from stages.provenance.trust import Permissions, check_parent
from stages.results.subjects import subject_of
from tests.cli.test_damage import damaged
from tests.data.files.test_locks import another_process_holding
from tests.stages.conftest import short_flags, write_tiny_rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_path):
    """Return a base model, rows and a stage trained on them; copy them before changing them."""
    root = tmp_path_factory.mktemp("trusted")
    shutil.copytree(tiny_model_path, root / "model")
    paths = {"model": root / "model", "data": write_tiny_rows(root / "data") / "sft.jsonl", "output": root / "sft"}
    sft.run(*parse_stage("sft", short_flags("sft", **paths, max_steps=1, preflight="false")))
    return root


@pytest.fixture
def stage(trained, tmp_path):
    return shutil.copytree(trained / "sft", tmp_path / "stage")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reseal(stage, **changes):
    """Write a consistent manifest, like the author of the folder could."""
    path = stage / "manifest.json"
    edit(path, **changes)
    manifest = read_manifest(path)
    manifest.write(path)
    return manifest


def run(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, (SystemExit, UserError)), result.exception
    return result


UNSCORED = ("--max-prompts", 1, "--judge-max-unscored", 1)  # the rows have no labels


def commands(trained, stage, output, *flags):
    """Return every command that loads a stage."""
    data = trained / "data" / "grpo.jsonl"
    dpo = short_flags("dpo", model=trained / "model", data=trained / "data" / "dpo.jsonl", output=output / "dpo")
    recipe = output / "empty.yaml"
    recipe.write_text("{}")
    asked = f"--{flags[0].removeprefix('--').replace('-', '_')}=true" if flags else "--preflight=false"
    return {
        "eval": ("eval", "--adapter", stage, "--data", data, "--output", output / "eval", *UNSCORED, *flags),
        "chat": ("chat", "hello", "--adapter", stage, *flags),
        "export": ("export", stage, "--to", output / "export", *flags),
        "pairs": ("data", "pairs", "--data", data, "--output", data.with_name("p.jsonl"), "--checkpoint", stage),
        "--parent": ("dpo", *dpo, f"--parent={stage}", asked, "--preflight=false", "--max_steps=1"),
        "preflight": ("preflight", "--stage", "dpo", "--config", recipe, *dpo, f"--parent={stage}"),
        "harness": ("harness", "lm-eval", stage, "--task", "x", "--output", output / "harness", "--python", "false"),
    }


NAMES = ("eval", "chat", "export", "pairs", "--parent", "preflight", "harness")


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_chain_is_refused_by_every_command_that_loads_it(name, trained, stage, tmp_path):
    edit(stage / "adapter" / "adapter_config.json", lora_alpha=-6400)
    result = run(*commands(trained, stage, tmp_path)[name])
    told = str(result.exception) + result.output
    assert result.exit_code != 0
    assert "adapter_config.json was " in told
    assert "--allow-broken" in told


@pytest.mark.parametrize("name", ["eval", "--parent", "export"])
def test_a_broken_chain_is_told_and_loaded_where_that_is_asked_for(name, trained, stage, tmp_path, capfd):
    edit(stage / "manifest.json", seed=7)
    result = run(*commands(trained, stage, tmp_path, "--allow-broken")[name])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "manifest: broken:" in result.output + capfd.readouterr().err


def hostile_base(trained, folder, mark):
    """Return a copy of the base whose configuration names a Python file; running it leaves a mark."""
    base = shutil.copytree(trained / "model", folder)
    code = "from transformers import PretrainedConfig\nfrom pathlib import Path\n"
    code += f"Path({str(mark)!r}).touch()\nclass Own(PretrainedConfig):\n    model_type = 'own'\n"
    (base / "own.py").write_text(code)
    edit(base / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})
    return base


@pytest.mark.parametrize("name", ["eval", "chat", "export", "chat --model"])
def test_no_manifest_permits_to_run_the_code_beside_it(name, trained, stage, tmp_path):
    """The chain is consistent, because the folder's author wrote it. Permissions still come only from the user."""
    from eval.models.revision import model_revision

    mark = tmp_path / "was-run"
    base = hostile_base(trained, tmp_path / "base", mark)
    recipe = json.loads((stage / "manifest.json").read_text())["recipe"]
    recipe |= {"trust_remote_code": True, "allow_pickle": True}
    reseal(stage, model=str(base), model_revision=model_revision(str(base)), recipe=recipe)
    if name == "chat --model":
        shutil.copy(stage / "manifest.json", base)
        command = ("chat", "hello", "--model", base)
    else:
        command = commands(trained, stage, tmp_path)[name] + (("--merge",) if name == "export" else ())
    result = run(*command)
    assert result.exit_code != 0
    assert not mark.exists()
    assert "--trust-remote-code" in str(result.exception)


def test_permissions_are_the_users(stage):
    assert subject_of(None, stage).permissions == Permissions()
    allowed = Permissions(trust_remote_code=True)
    assert subject_of(None, stage, permissions=allowed).permissions.trust_remote_code


def test_every_file_of_an_adapter_is_in_the_chain(stage):
    assert broken(read_chain(stage, with_model=False)) == []
    (stage / "adapter" / "README.md").write_text("anything")
    assert broken(read_chain(stage, with_model=False)) == []
    (stage / "adapter" / "extra.bin").write_bytes(b"x")
    (fault,) = broken(read_chain(stage, with_model=False))
    assert "adapter files" in fault
    assert "extra.bin is new" in fault


def test_an_evaluation_names_the_weights_that_were_there(stage):
    before = subject_of(None, stage).identity()
    weights = stage / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    allowed = Permissions(allow_broken=True)
    after = subject_of(None, stage, permissions=allowed).identity()
    assert before["adapter"] == read_manifest(stage / "manifest.json").adapter != after["adapter"]
    edit(stage / "adapter" / "adapter_config.json", lora_alpha=1)
    assert subject_of(None, stage, permissions=allowed).identity() != after


def test_a_merged_model_is_what_was_exported_or_refused(stage, tmp_path):
    folder = export_stage(stage, tmp_path / "merged", ExportOptions(merge=True))
    assert subject_of(str(folder)).manifest is not None
    (folder / "README.md").write_text("mine")
    subject_of(str(folder))
    edit(folder / "generation_config.json", temperature=9)
    with pytest.raises(UserError, match=r"files: .*generation_config.json was "):
        subject_of(str(folder))
    subject_of(str(folder), permissions=Permissions(allow_broken=True))


@pytest.fixture
def base(trained):
    return load_model(str(trained / "model"), dtype=torch.float32)


def test_an_adapter_without_a_fitting_weight_is_refused(base, stage):
    adapter = stage / "adapter"
    weights = load_file(adapter / "adapter_model.safetensors")
    renamed = {name.replace(".layers.", ".blocks."): tensor for name, tensor in weights.items()}
    save_file(renamed, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"not an adapter of this model: \d+ of its \d+ weights have no place in"):
        load_adapter(base, adapter)


def test_an_adapter_that_lacks_weights_is_refused(base, stage):
    adapter = stage / "adapter"
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[:-2]), adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="2 places in the model have no weights"):
        load_adapter(base, adapter)


CLAIMS = {
    "a rank of a thousand million": ({"r": 10**9}, "r: expected a rank from 1 to 65,536"),
    "another rank than the weights'": ({"r": 64}, "r: states rank 64 for"),
    "a rank by layer": ({"rank_pattern": {"q_proj": 10**9}}, "r: states rank 1000000000"),
    "a pattern as a name": ({"rank_pattern": {"(a+)+$": 4}}, "rank_pattern: expected numbers by the names"),
    "an initialisation that computes": ({"init_lora_weights": "pissa_niter_1000000000"}, "init_lora_weights: expected"),
    "another kind": ({"peft_type": "XLORA"}, "peft_type: expected LORA"),
    "no kind": ({"peft_type": [1]}, "peft_type: expected LORA"),
    "more layers than the base": ({"layer_replication": [[0, 10**9]]}, "layer_replication: expected None"),
    "a module to import": ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "megatron_core: expected"),
    "a scale below nothing": ({"lora_alpha": -6400}, "lora_alpha: expected a number above 0"),
    "a scale that is no number": ({"lora_alpha": "64"}, "lora_alpha: expected a number above 0"),
    "targets of another type": ({"target_modules": {"a": 1}}, "target_modules: expected"),
    "what peft does not know": ({"novel": [1]}, "novel: expected no such key"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_adapter_that_claims_more_than_an_adapter_is_refused(claim, base, stage):
    changes, words = CLAIMS[claim]
    edit(stage / "adapter" / "adapter_config.json", **changes)
    with pytest.raises(ModelError, match=r"adapter_config\.json: ") as caught:
        load_adapter(base, stage / "adapter")
    assert words in str(caught.value)


def test_a_pattern_of_its_own_is_not_matched(base, stage):
    """The layers come from the weights; a pattern that would backtrack for ever is never matched."""
    whole = load_adapter(base, stage / "adapter").merge_and_unload().state_dict()
    changes = {"target_modules": r"(?:[\w.]*)*[\w.]*(?:[\w.]+)+\.$|.*_proj", "exclude_modules": r"(.+)+$"}
    edit(stage / "adapter" / "adapter_config.json", **changes)
    before = load_model(base.config.name_or_path, dtype=torch.float32)
    again = load_adapter(before, stage / "adapter").merge_and_unload().state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "a header of 2^60 bytes", "text"])
def test_damaged_weights_are_one_error(damage, base, stage):
    weights = stage / "adapter" / "adapter_model.safetensors"
    content = weights.read_bytes()
    broken_by = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "a header of 2^60 bytes": (2**60).to_bytes(8, "little") + b"{}",
        "text": b"version https://git-lfs.github.com/spec/v1\n",
    }
    weights.write_bytes(broken_by[damage]) if damage != "missing" else weights.unlink()
    with pytest.raises(ModelError, match=r"adapter_model.safetensors"):
        load_adapter(base, stage / "adapter")


def test_a_parent_without_its_weights_is_told(stage):
    shutil.rmtree(stage / "adapter")
    with pytest.raises(UserError, match=r"adapter: .* is missing"):
        check_parent(stage, model_revision="a" * 64, child="dpo")


@pytest.mark.parametrize("seed", range(24))
def test_a_damaged_stage_is_told_by_every_command_that_reads_it(seed, trained, stage, tmp_path):
    """No traceback, and a chain with changed files is never reported as sound."""
    files = ("manifest.json", "adapter/adapter_config.json", "adapter/adapter_model.safetensors")
    path = stage / files[seed % 3]
    before = path.read_bytes()
    after = damaged(before, seed) if path.suffix == ".json" else before[: len(before) * seed // 24]
    path.write_bytes(after)
    checked = run("manifest", stage)
    asked = run("eval", "--adapter", stage, "--data", trained / "data" / "grpo.jsonl", "--output", tmp_path / "out")
    if path.name != "manifest.json":
        assert checked.exit_code == 1
        assert isinstance(asked.exception, UserError)
    elif checked.exit_code != 0 and not any(name in checked.output for name in ("data:", "parent:")):
        assert isinstance(asked.exception, UserError)


@pytest.mark.parametrize("place", ["file/below", "file"])
def test_a_file_in_the_way_of_an_evaluation_is_one_error(place, trained, stage, tmp_path):
    (tmp_path / "file").write_text("mine")
    data = trained / "data" / "grpo.jsonl"
    command = ("eval", "--adapter", stage, "--data", data, "--output", tmp_path / place, "--max-prompts", 1)
    with pytest.raises((OSError, UserError)):  # the command line prints it and exits with 2
        app(list(map(str, command)), standalone_mode=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_two_processes_do_not_train_one_stage(trained, tmp_path):
    paths = {"model": trained / "model", "data": trained / "data" / "sft.jsonl", "output": tmp_path / "sft"}
    told = parse_stage("sft", short_flags("sft", **paths, max_steps=1, preflight="false"))
    with another_process_holding(tmp_path / "sft") as process, pytest.raises(LockedError, match=f"{process.pid}"):
        sft.run(*told)
    assert not (tmp_path / "sft").exists()


@pytest.mark.slow
def test_a_new_store_is_made_by_one_of_several_processes(tmp_path):
    code = "from stages.tracking.store import experiment_id, open_client; print(experiment_id(open_client()))"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **options) for _ in range(3)]
    said = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1
