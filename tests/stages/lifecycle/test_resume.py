"""An interrupted stage gives the same result as an uninterrupted one; finished ones are skipped, changed ones
restart."""

import errno
import json
import shutil

import pytest
import torch

from eval.models.adapters import adapter_hash
from stages import dpo, grpo, sft
from stages.errors import StageError
from stages.lifecycle import training
from stages.lifecycle.disk_full import is_disk_full
from stages.progress import ProgressCallback
from stages.provenance.manifest import read_manifest
from tests.stages.conftest import longer_reward

NUM_STEPS = 8


@pytest.fixture
def interrupt_at(monkeypatch):
    """Return a function that ends training at a step, like Ctrl-C, once."""

    def arm(step):
        def on_step_end(_self, _args, state, _control, **_):
            if state.global_step == step:
                monkeypatch.undo()
                raise KeyboardInterrupt

        monkeypatch.setattr(ProgressCallback, "on_step_end", on_step_end)

    return arm


def run_sft(parse, parent, **options):
    del parent
    return sft.run(*parse("sft", **options))


def run_dpo(parse, parent, **options):
    return dpo.run(*parse("dpo", parent=parent, **options))


def run_grpo(parse, parent, **options):
    return grpo.run(*parse("grpo", parent=parent, **options), reward=longer_reward)


@pytest.mark.parametrize(
    "case", [(run_sft, 5), (run_dpo, 5), (run_grpo, 7)], ids=["sft", "dpo", "grpo"]
)  # all in the second epoch
def test_an_interrupted_stage_ends_in_the_same_adapter_as_an_uninterrupted_one(  # noqa: PLR0917 - fixtures
    case, parse, parent, tmp_path, interrupt_at, capsys
):
    run, last_step = case
    whole = run(parse, parent, output=tmp_path / "whole", max_steps=NUM_STEPS)
    interrupt_at(last_step)
    with pytest.raises(SystemExit) as stopped:
        run(parse, parent, output=tmp_path / "broken", max_steps=NUM_STEPS)
    assert stopped.value.code == 130
    assert f"run the same command again to continue from step {last_step - 1}" in capsys.readouterr().out
    broken = run(parse, parent, output=tmp_path / "broken", max_steps=NUM_STEPS)
    assert f"resumes from step {last_step - 1}" in capsys.readouterr().out
    assert read_manifest(broken / "manifest.json").adapter == read_manifest(whole / "manifest.json").adapter
    assert read_manifest(broken / "manifest.json").resumed_from_step == last_step - 1
    assert read_manifest(broken / "manifest.json").digest == read_manifest(whole / "manifest.json").digest
    if run is run_grpo:
        assert (broken / "rollouts.jsonl").read_text() == (whole / "rollouts.jsonl").read_text()


def test_a_resumed_stage_keeps_the_parent_as_reference(parse, parent, interrupt_at, monkeypatch):
    interrupt_at(3)
    with pytest.raises(SystemExit):
        run_dpo(parse, parent, max_steps=NUM_STEPS)
    seen = []
    build = dpo.build_trainer

    def spy(setup):
        seen.append(build(setup))
        return seen[0]

    monkeypatch.setattr(dpo, "build_trainer", spy)
    run_dpo(parse, parent, max_steps=NUM_STEPS)
    from safetensors.torch import load_file

    saved = load_file(parent / "adapter" / "adapter_model.safetensors")
    references = {
        name.replace(".ref.weight", ".weight"): parameter
        for name, parameter in seen[0].model.named_parameters()
        if ".ref." in name
    }
    assert len(references) == len(saved) == 28
    assert all((references[name] == tensor).all() for name, tensor in saved.items())


def test_a_finished_stage_is_skipped_until_something_it_depends_on_changes(parse, rows_folder, capsys):
    folder = sft.run(*parse("sft"))
    before = (folder / "manifest.json").read_bytes()
    capsys.readouterr()
    sft.run(*parse("sft", logging_steps=2, save_steps=3))
    assert "skipped" in capsys.readouterr().out
    assert (folder / "manifest.json").read_bytes() == before
    sft.run(*parse("sft", learning_rate=2e-2))
    said = capsys.readouterr().out
    assert "recipe.learning_rate was 0.01, is 0.02" in said
    assert f"the old folder is kept as {folder}.1" in said
    assert folder.with_name("sft.1").joinpath("manifest.json").read_bytes() == before
    lines = (rows_folder / "sft.jsonl").read_text().splitlines()
    (rows_folder / "sft.jsonl").write_text("\n".join(lines[:8]) + "\n")
    sft.run(*parse("sft", learning_rate=2e-2))
    assert "data.num_rows was 12, is 8" in capsys.readouterr().out
    assert adapter_hash(folder.with_name("sft.1")) == json.loads(before)["adapter"]
    assert folder.with_name("sft.2").is_dir()


def test_a_finished_stage_outlives_an_interruption_of_the_next_recipe(parse, interrupt_at, capsys):
    folder = sft.run(*parse("sft", max_steps=2))
    before = adapter_hash(folder)
    interrupt_at(1)
    with pytest.raises(SystemExit):
        sft.run(*parse("sft", max_steps=2, learning_rate=2e-2))
    assert f"kept as {folder}.1" in capsys.readouterr().out
    assert adapter_hash(folder.with_name("sft.1")) == before
    assert read_manifest(folder.with_name("sft.1") / "manifest.json").adapter == before


@pytest.mark.parametrize("run", [run_sft, run_grpo])
def test_a_stage_that_is_extended_ends_as_a_longer_run_does(run, parse, parent, tmp_path, capsys):
    options = {"lr_scheduler_type": "constant", "preflight": "false"}
    whole = run(parse, parent, output=tmp_path / "whole", max_steps=6, **options)
    short = run(parse, parent, output=tmp_path / "short", max_steps=4, **options)
    before = read_manifest(short / "manifest.json")
    run(parse, parent, output=tmp_path / "short", max_steps=6, extend="true", **options)
    assert f"kept as {short}.1" in capsys.readouterr().out
    after = read_manifest(short / "manifest.json")
    assert after.digest == read_manifest(whole / "manifest.json").digest
    assert after.resumed_from_step == 4
    assert read_manifest(short.with_name("short.1") / "manifest.json") == before
    assert adapter_hash(short.with_name("short.1")) == before.adapter
    if run is run_grpo:
        assert (short / "rollouts.jsonl").read_text() == (whole / "rollouts.jsonl").read_text()


def test_a_stage_is_not_extended_where_a_longer_run_would_end_elsewhere(parse):
    folder = sft.run(*parse("sft", max_steps=2))
    before = adapter_hash(folder)
    with pytest.raises(StageError) as raised:
        sft.run(*parse("sft", max_steps=1, learning_rate=2e-2, extend="true"))
    told = str(raised.value)
    assert "extend: learning_rate changed too; only max_steps and num_train_epochs may" in told
    assert "extend: max_steps was 2, and 1 is less" in told
    assert "extend: the learning rate follows lr_scheduler_type linear, which depends on the number of steps" in told
    assert adapter_hash(folder) == before
    assert not folder.with_name("sft.1").exists()


def test_rows_inside_the_folder_of_the_stage_are_not_moved_away(parse, tmp_path, rows_folder):
    sft.run(*parse("sft", max_steps=1))
    data = shutil.copytree(rows_folder, tmp_path / "sft" / "data") / "sft.jsonl"
    with pytest.raises(StageError, match="cannot be moved aside; move the rows"):
        sft.run(*parse("sft", max_steps=1, learning_rate=2e-2, data=data))


def test_a_half_done_stage_of_another_recipe_starts_afresh_and_says_why(parse, interrupt_at, capsys):
    interrupt_at(3)
    with pytest.raises(SystemExit):
        sft.run(*parse("sft"))
    folder = sft.run(*parse("sft", learning_rate=2e-2))
    said = capsys.readouterr().out
    assert "starts again, not from" in said
    assert "recipe.learning_rate was 0.01, is 0.02" in said
    assert read_manifest(folder / "manifest.json").resumed_from_step is None


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_resumed_from(parse, tmp_path, interrupt_at, capsys):
    interrupt_at(3)
    with pytest.raises(SystemExit):
        sft.run(*parse("sft"))
    (tmp_path / "sft" / "checkpoints" / "checkpoint-2" / "trainer_state.json").unlink()
    sft.run(*parse("sft"))
    said = capsys.readouterr().out
    assert "checkpoint-2 is left out: trainer_state.json is missing" in said
    assert "resumes" not in said


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "adapter_model.safetensors": (truncate, "adapter_model.safetensors was changed"),
    "optimizer.pt": (spoil, "optimizer.pt was changed"),
    "trainer_state.json": (empty, "trainer_state.json was changed"),
    "rng_state.pth": (lambda path: path.unlink(), "rng_state.pth is missing"),
    "seal.json": (lambda path: path.unlink(), "is incomplete"),
}


def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(parse, tmp_path, interrupt_at, capsys):
    options = {"max_steps": 6, "preflight": "false"}
    whole = sft.run(*parse("sft", output=tmp_path / "whole", **options))
    interrupt_at(5)
    with pytest.raises(SystemExit):
        sft.run(*parse("sft", output=tmp_path / "broken", **options))
    for name, (harm, fault) in DAMAGES.items():
        output = tmp_path / "damaged"
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(tmp_path / "broken", output)
        harm(output / "checkpoints" / "checkpoint-4" / name)
        capsys.readouterr()
        sft.run(*parse("sft", output=output, **options))
        said = capsys.readouterr().out
        assert f"sft: checkpoint-4 is left out: {fault}" in said
        assert "sft: resumes from step 2" in said
        assert read_manifest(output / "manifest.json").digest == read_manifest(whole / "manifest.json").digest


def test_a_stage_killed_while_it_exports_is_exported_and_not_trained_further(parse, tmp_path, monkeypatch, capsys):
    options = {"max_steps": 5, "preflight": "false"}  # in the middle of an epoch
    whole = sft.run(*parse("sft", output=tmp_path / "whole", **options))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_export", stop)
    with pytest.raises(SystemExit):
        sft.run(*parse("sft", output=tmp_path / "broken", **options))
    monkeypatch.undo()
    broken = sft.run(*parse("sft", output=tmp_path / "broken", **options))
    assert "resumes from step 5" in capsys.readouterr().out
    assert read_manifest(broken / "manifest.json").digest == read_manifest(whole / "manifest.json").digest


def test_a_full_disk_ends_a_stage_cleanly_and_it_continues_when_there_is_room(parse, tmp_path, monkeypatch, capsys):
    options = {"max_steps": 4, "preflight": "false"}
    whole = sft.run(*parse("sft", output=tmp_path / "whole", **options))
    save = torch.save
    written = []

    def fill(value, file, *args, **keywords):
        if "checkpoint-4" in str(file):
            written.append(file)
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(value, file, *args, **keywords)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(SystemExit) as stopped:
        sft.run(*parse("sft", output=tmp_path / "full", **options))
    assert written
    assert stopped.value.code == 75
    said = capsys.readouterr().out
    assert f"sft: the disk of {tmp_path / 'full'} is full (" in said
    assert "free some and run the same command again to continue from step 2" in said
    assert not (tmp_path / "full" / "checkpoints" / "checkpoint-4").exists()
    monkeypatch.setattr(torch, "save", save)
    full = sft.run(*parse("sft", output=tmp_path / "full", **options))
    assert read_manifest(full / "manifest.json").digest == read_manifest(whole / "manifest.json").digest


def test_a_full_disk_is_known_however_it_is_reported(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = ValueError("could not save")
    wrapped.__cause__ = full
    wordless = RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0")
    for error in (full, wrapped, Exception("Error: I/O error: No space left on device (os error 28)")):
        assert is_disk_full(error, tmp_path)
    for error in (OSError(errno.EACCES, "Permission denied"), ValueError("full of surprises"), wordless):
        assert not is_disk_full(error, tmp_path)
    monkeypatch.setattr("stages.lifecycle.disk_full.free_bytes", lambda _: 4096)
    assert is_disk_full(wordless, tmp_path)
    assert not is_disk_full(RuntimeError("shapes differ"), tmp_path)


def test_a_retrained_but_equal_parent_does_not_retrain_its_child(parse, capsys):
    parent = sft.run(*parse("sft"))
    run_dpo(parse, parent)
    (parent / "manifest.json").unlink()
    sft.run(*parse("sft"))
    capsys.readouterr()
    run_dpo(parse, parent)
    assert "skipped" in capsys.readouterr().out


def test_every_rollout_is_recorded_with_reward_components_and_advantage(parse, parent):
    folder = run_grpo(parse, parent)
    rollouts = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
    assert len(rollouts) == 4 * 8
    assert [rollout["step"] for rollout in rollouts] == [step for step in range(4) for _ in range(8)]
    for rollout in rollouts:
        assert rollout["reward"] == rollout["components"]["length"] / 100 == len(rollout["response"]) / 100
        assert rollout["plan"].startswith("{")
    for start in range(0, 32, 4):  # the advantages of a group are centred
        group = rollouts[start : start + 4]
        assert len({rollout["id"] for rollout in group}) == 1
        assert sum(rollout["advantage"] for rollout in group) == pytest.approx(0, abs=1e-3)
